"""What an action needs, whatever the plan.

======  ==========================================================================================
action  needs
======  ==========================================================================================
F(s,j)  F(s-1,j): its input. With slices also F(s,j) of the slice before, whose keys and values it reads
B(s,j)  F(s,j); B or BW(s+1,j), its gradient. With slices also B or BW(s,j) of the slice after
W(s,j)  B(s,j)
======  ==========================================================================================

BW needs what B needs. Within one rank the order of the plan holds as well.
"""

from __future__ import annotations

from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.plan import Plan


def needs(plan: Plan, action: Action) -> tuple[tuple[Action, ...], ...]:
    """What must have ended before ``action`` may begin: of each group, one action (B, or BW in its place).

    Examples
    --------
    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> [[str(one) for one in group] for group in needs(gpipe(3, 4), Action.parse("1BW2"))]
    [['1F2'], ['2B2', '2BW2']]
    """
    stage, j, part = action.stage, action.microbatch, action.slice
    if action.kind == "W":
        return ((Action(stage, "B", j, part),),)
    if action.kind == "F":
        groups = [] if stage == 0 else [(Action(stage - 1, "F", j, part),)]
        return (*groups, (Action(stage, "F", j, part - 1),)) if part else tuple(groups)
    groups = [(Action(stage, "F", j, part),)]
    if stage + 1 < plan.num_stages:
        groups.append((Action(stage + 1, "B", j, part), Action(stage + 1, "BW", j, part)))
    if part is not None and part + 1 < plan.num_slices:
        groups.append((Action(stage, "B", j, part + 1), Action(stage, "BW", j, part + 1)))
    return tuple(groups)


def numbered(plan: Plan) -> tuple[list[Action], list[range], list[tuple[int, ...]]]:
    """The actions of a plan in one list; by rank, its part of it; and by action the numbers of those it needs.

    For plans that keep the rules of one rank's order. What does not stand in the plan is left out of the needs.
    """
    actions = [action for of_rank in plan.actions for action in of_rank]
    ranges, start = [], 0
    for of_rank in plan.actions:
        ranges.append(range(start, start + len(of_rank)))
        start += len(of_rank)
    width = plan.num_microbatches * plan.num_slices
    keys = [(a.stage * plan.num_microbatches + a.microbatch) * plan.num_slices + (a.slice or 0) for a in actions]
    # one table a kind: which action has this key; B and BW share one, as nothing needs to tell them apart
    size = plan.num_stages * width
    forward, backward = [None] * (size + width), [None] * (size + width)  # the last stage has nothing after it
    for number, (action, key) in enumerate(zip(actions, keys, strict=True)):
        if action.kind == "F":
            forward[key] = number
        elif action.kind != "W":
            backward[key] = number
    needed = []
    last = plan.num_slices - 1
    for action, key in zip(actions, keys, strict=True):
        kind = action.kind
        if kind == "F":
            found = [forward[key - width]] if key >= width else []
            if action.slice:
                found.append(forward[key - 1])
        elif kind == "W":
            found = [backward[key]]
        else:
            found = [forward[key], backward[key + width]]
            if last and action.slice < last:
                found.append(backward[key + 1])
        needed.append(tuple([number for number in found if number is not None]))
    return actions, ranges, needed
