"""The plan of a run: given, or that of a schedule."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.schedules import make_plan


def plan_of(plan: Plan | str, *, num_ranks: int, num_microbatches: int = 1, **settings) -> Plan:
    """A plan for so many ranks, kept to the rules.

    Parameters
    ----------
    plan : Plan or str
        A plan, its text, or the name of a schedule.
    num_ranks : int
    num_microbatches : int
        Of a named schedule. A plan has its own, and this is 1 or the same.
    settings
        Of a named schedule, as for :func:`.schedules.make_plan`.

    Raises
    ------
    UsageError
        No such schedule, sizes that do not fit, or a plan that breaks a rule.

    Examples
    --------
    >>> plan_of("1f1b", num_ranks=2, num_microbatches=4).num_actions
    16
    """
    if isinstance(plan, str) and "\n" not in plan.strip():
        return check_plan(make_plan(plan, num_ranks, num_microbatches, **settings))
    plan = Plan.parse(plan) if isinstance(plan, str) else plan
    if not isinstance(plan, Plan):
        raise UsageError(f"a plan is a Plan, its text, or the name of a schedule, not {plan!r:.60}: pass one of these.")
    if settings:
        raise UsageError(
            f"{', '.join(settings)} are for a schedule that is named, and a plan was given: leave them out."
        )
    if plan.num_ranks != num_ranks:
        raise UsageError(
            f"the plan {plan.name!r} is for {plan.num_ranks} ranks, and there are {num_ranks}: make it for "
            f"{num_ranks}, or start {plan.num_ranks} ranks."
        )
    if num_microbatches not in (1, plan.num_microbatches):
        raise UsageError(
            f"the plan {plan.name!r} has {plan.num_microbatches} micro-batches, and the options say "
            f"{num_microbatches}: pass num_micro_batches={plan.num_microbatches}, or a plan for {num_microbatches}."
        )
    return check_plan(plan)
