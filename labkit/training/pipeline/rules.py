"""The rules of a pipeline plan, and which action breaks one first.

========  ==========================================================================================
rule      an action breaks it when
========  ==========================================================================================
known     it names a stage, micro-batch or slice that the plan does not have
rank      its stage lies on another rank
once      its rank has run it before; BW counts as B and W
order     it comes before what it needs on its own rank: F before B before W, and slices in order
missing   it, or what it needs on its own rank, is nowhere in the plan
deadlock  it and what it waits for wait for each other
memory    it would hold more activations on its rank than the limit
========  ==========================================================================================

The rules are looked at in this order, except that the first four are one walk: position 0 of every rank, then
position 1 of every rank. So the first broken action is the one furthest to the left in the text of the plan.

Sending never waits here: an order that is free of deadlock by these rules runs with sends that return at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product, zip_longest

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import whole_number
from labkit.training.pipeline.dependencies import needs, numbered
from labkit.training.pipeline.plan import Plan

RULES = ("known", "rank", "once", "order", "missing", "deadlock", "memory")


@dataclass(frozen=True)
class Broken:
    """The first broken action of a plan: which rule, where, and in words.

    Attributes
    ----------
    rule : str
        One of ``RULES``.
    rank : int
    position : int
        In the order of the rank, from 0; the end of it for an action that is missing there.
    action : Action
    message : str
        The rule, the values and the next step.
    """

    rule: str
    rank: int
    position: int
    action: Action
    message: str


class PlanError(UsageError):
    """A plan breaks a rule; ``.broken`` says which, and where."""

    def __init__(self, broken: Broken):
        super().__init__(broken.message)
        self.broken = broken


def check_plan(plan: Plan, *, max_in_flight: int | None = None) -> Plan:
    """The plan itself, if it keeps all rules.

    Parameters
    ----------
    plan : Plan
    max_in_flight : int, optional
        How many activations (of one stage and one micro-batch; of one slice where there are slices) a rank may hold
        at once, from F to the end of W.

    Raises
    ------
    PlanError
        A UsageError that names the first broken action with its rule, rank and position (``.broken``).

    Examples
    --------
    >>> from labkit.training.pipeline.plan import Plan
    >>> check_plan(Plan.parse("mine: ranks 1, stages 1, micro-batches 2\\n0: 0F0 0BW0 0BW1 0F1"))
    Traceback (most recent call last):
        ...
    labkit.training.pipeline.rules.PlanError: rank 0, position 2: 0BW1 breaks the rule 'order': it needs 0F1, which ...
    """
    broken = first_broken(plan, max_in_flight=max_in_flight)
    if broken is not None:
        raise PlanError(broken)
    return plan


def first_broken(plan: Plan, *, max_in_flight: int | None = None) -> Broken | None:
    """What :func:`check_plan` would raise for, as a value; None for a plan that keeps all rules."""
    if max_in_flight is not None:
        max_in_flight = whole_number("max_in_flight", max_in_flight, 1)
    local = None if is_complete(plan) else _local(plan) or _missing(plan)
    return local or _deadlock(plan) or _memory(plan, max_in_flight)


def is_complete(plan: Plan) -> bool:
    """Whether a plan keeps the first five rules, those that need no other rank: fast, and without a reason."""
    m, slices, num_stages, ranks = plan.num_microbatches, plan.num_slices, plan.num_stages, plan.rank_of_stage
    done = bytearray(num_stages * m * slices)  # bits: 1 for F, 2 for B, 4 for W
    for rank, of_rank in enumerate(plan.actions):
        for action in of_rank:
            stage, j, part = action.stage, action.microbatch, action.slice
            if not (0 <= stage < num_stages and 0 <= j < m and ranks[stage] == rank):
                return False
            if slices == 1:
                if part is not None:
                    return False
                part = 0
            elif part is None or not 0 <= part < slices:
                return False
            key = (stage * m + j) * slices + part
            kind, before = action.kind, done[key]
            if kind == "F":
                right, done[key] = before == 0 and (part == 0 or done[key - 1] & 1), 1
            elif kind == "W":
                right, done[key] = before == 3, 7
            else:
                right = before == 1 and (part == slices - 1 or done[key + 1] & 2)
                done[key] = 3 if kind == "B" else 7
            if not right:
                return False
    return done.count(7) == len(done)


def _broken(rule: str, rank: int, position: int, action: Action, why: str) -> Broken:
    message = f"rank {rank}, position {position}: {action} breaks the rule '{rule}': {why}."
    return Broken(rule, rank, position, action, message)


def _parts(action: Action) -> tuple[Action, ...]:
    """An action as B and W, so that a BW beside a B is seen as B twice."""
    if action.kind != "BW":
        return (action,)
    return tuple(Action(action.stage, kind, action.microbatch, action.slice) for kind in "BW")


def _local(plan: Plan) -> Broken | None:
    """The rules that one rank's order alone decides."""
    positions: list[dict[Action, int]] = [{} for _ in plan.actions]
    for rank, of_rank in enumerate(plan.actions):
        for position, action in enumerate(of_rank):
            for part in _parts(action):
                positions[rank].setdefault(part, position)
    for position, column in enumerate(zip_longest(*plan.actions)):
        for rank, action in enumerate(column):
            if action is None:
                continue
            why = _outside(plan, action)
            if why:
                return _broken("known", rank, position, action, why)
            place = plan.rank_of_stage[action.stage]
            if place != rank:
                why = f"stage {action.stage} lies on rank {place}: move it there"
                return _broken("rank", rank, position, action, why)
            for part in _parts(action):
                before = positions[rank][part]
                if before < position:
                    why = f"{plan.actions[rank][before]} at position {before} has done that already: remove one of them"
                    return _broken("once", rank, position, action, why)
            for group in needs(plan, action):
                if plan.rank_of_stage[group[0].stage] != rank or group[0].stage != action.stage:
                    continue
                needed = group[0]
                found = positions[rank].get(needed)
                if found is None:
                    why = f"it needs {needed}, which rank {rank} never runs: add it"
                    return _broken("missing", rank, position, action, why)
                if found >= position:
                    needed = plan.actions[rank][found]
                    why = f"it needs {needed}, which rank {rank} runs only at position {found}: move {needed} before it"
                    return _broken("order", rank, position, action, why)
    return None


def _outside(plan: Plan, action: Action) -> str | None:
    if not 0 <= action.stage < plan.num_stages:
        return f"the plan has the stages 0 to {plan.num_stages - 1}: correct its stage"
    if not 0 <= action.microbatch < plan.num_microbatches:
        return f"the plan has the micro-batches 0 to {plan.num_microbatches - 1}: correct its micro-batch"
    if plan.num_slices == 1:
        return None if action.slice is None else "the plan has no slices: leave the slice out"
    if action.slice is None or not 0 <= action.slice < plan.num_slices:
        return f"the plan has the slices 0 to {plan.num_slices - 1} of each micro-batch: name one of them"
    return None


def _missing(plan: Plan) -> Broken | None:
    parts = range(plan.num_slices) if plan.num_slices > 1 else (None,)
    for rank, of_rank in enumerate(plan.actions):
        done = {part for action in of_rank for part in _parts(action)}
        for stage, j, part, kind in product(plan.stages_of(rank), range(plan.num_microbatches), parts, "FBW"):
            action = Action(stage, kind, j, part)
            if action not in done:
                why = f"a stage runs F, B and W (or F, BW) of each micro-batch, but rank {rank} never runs it: add it"
                return _broken("missing", rank, len(of_rank), action, why)
    return None


def _deadlock(plan: Plan) -> Broken | None:
    """Run the plan without times; where nothing can move any more, ranks wait in a circle."""
    actions, ranges, needed = numbered(plan)
    rank_of = [plan.rank_of_stage[action.stage] for action in actions]
    heads = [span.start for span in ranges]
    done = bytearray(len(actions))
    waiting: dict[int, list[int]] = {}  # by action: the ranks whose next action waits for it
    ready = list(range(plan.num_ranks))
    while ready:
        rank = ready.pop()
        while heads[rank] < ranges[rank].stop:
            number = heads[rank]
            blocker = next((n for n in needed[number] if not done[n]), None)
            if blocker is not None:
                waiting.setdefault(blocker, []).append(rank)
                break
            done[number] = 1
            heads[rank] += 1
            ready += waiting.pop(number, ())
    stuck = [rank for rank in range(plan.num_ranks) if heads[rank] < ranges[rank].stop]
    if not stuck:
        return None
    rank, path = stuck[0], []
    while rank not in path:
        path.append(rank)
        rank = rank_of[next(n for n in needed[heads[rank]] if not done[n])]
    circle = path[path.index(rank) :]
    first = min(circle, key=lambda one: (heads[one] - ranges[one].start, one))
    circle = circle[circle.index(first) :] + circle[: circle.index(first)]
    why = "the ranks wait for each other: "
    for rank in circle:
        blocker = next(n for n in needed[heads[rank]] if not done[n])
        other = rank_of[blocker]
        why += (
            f"{actions[heads[rank]]} waits for {actions[blocker]}, which on rank {other} (position "
            f"{blocker - ranges[other].start}) comes after {actions[heads[other]]}; "
        )
    position = heads[first] - ranges[first].start
    return _broken("deadlock", first, position, actions[heads[first]], why + "change the order of one of these ranks")


def _memory(plan: Plan, max_in_flight: int | None) -> Broken | None:
    if max_in_flight is None:
        return None
    held = [0] * plan.num_ranks
    for position, column in enumerate(zip_longest(*plan.actions)):
        for rank, action in enumerate(column):
            if action is None:
                continue
            held[rank] += {"F": 1, "B": 0, "W": -1, "BW": -1}[action.kind]
            if held[rank] > max_in_flight:
                why = (
                    f"rank {rank} would hold {held[rank]} activations, and the limit is {max_in_flight}: run a "
                    "backward before it"
                )
                return _broken("memory", rank, position, action, why)
    return None


def peak_in_flight(plan: Plan) -> tuple[int, ...]:
    """By rank, the most activations held at once, from F to the end of W (of a slice where there are slices).

    Examples
    --------
    >>> from labkit.training.pipeline.one_f_one_b import one_f_one_b
    >>> peak_in_flight(one_f_one_b(4, 8))
    (4, 3, 2, 1)
    """
    peaks = []
    for of_rank in plan.actions:
        held = peak = 0
        for action in of_rank:
            held += {"F": 1, "B": 0, "W": -1, "BW": -1}[action.kind]
            peak = max(peak, held)
        peaks.append(peak)
    return tuple(peaks)
