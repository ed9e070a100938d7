"""Schedules by name."""

from __future__ import annotations

import importlib

from labkit.errors import UsageError
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan

SCHEDULES = {  # name -> "module:function", imported when it is used
    "gpipe": "gpipe:gpipe", "1f1b": "one_f_one_b:one_f_one_b", "interleaved": "interleaved:interleaved",
    "zb_h1": "zero_bubble:zb_h1", "zb_h2": "zero_bubble:zb_h2",
}


def plan_of(plan: Plan | str, *, num_ranks: int, num_microbatches: int = 1, num_chunks: int = 1) -> Plan:
    """A plan for so many ranks, kept to the rules.

    Parameters
    ----------
    plan : Plan or str
        A plan, its text, or the name of a schedule.
    num_ranks : int
    num_microbatches : int
        Of a named schedule. A plan has its own, and this is 1 or the same.
    num_chunks : int
        Stages a rank, of a schedule that is interleaved.

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
        return check_plan(_named(plan, num_ranks, num_microbatches, num_chunks))
    plan = Plan.parse(plan) if isinstance(plan, str) else plan
    if not isinstance(plan, Plan):
        raise UsageError(f"a plan is a Plan, its text, or the name of a schedule, not {plan!r:.60}: pass one of these.")
    if plan.num_ranks != num_ranks:
        raise UsageError(
            f"the plan {plan.name!r} is for {plan.num_ranks} ranks, and there are {num_ranks}: make it for {num_ranks}, "
            f"or start {plan.num_ranks} ranks."
        )
    if num_microbatches not in (1, plan.num_microbatches):
        raise UsageError(
            f"the plan {plan.name!r} has {plan.num_microbatches} micro-batches, and the options say {num_microbatches}: "
            f"pass num_micro_batches={plan.num_microbatches}, or a plan for {num_microbatches}."
        )
    return check_plan(plan)


def _named(name: str, num_ranks: int, num_microbatches: int, num_chunks: int) -> Plan:
    if name not in SCHEDULES:
        raise UsageError(f"there is no schedule {name!r}: the schedules are {', '.join(SCHEDULES)}.")
    module, _, function = SCHEDULES[name].partition(":")
    make = getattr(importlib.import_module(f"labkit.training.pipeline.{module}"), function)
    if name == "interleaved":
        return make(num_ranks, num_microbatches, max(2, num_chunks))
    if num_chunks != 1:
        raise UsageError(f"the schedule {name!r} has one stage a rank, not {num_chunks}: 'interleaved' has several.")
    return make(num_ranks, num_microbatches)
