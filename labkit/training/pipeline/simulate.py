"""When each action of a plan runs, with given times: a pipeline without a computer.

An action begins when the one before it on its rank has ended and what it needs is there. What comes from another rank
is there ``communication_s`` after it was made; the link carries any number of messages at once and costs the ranks no
time (communication overlapped with computing). Between two stages of one rank nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from labkit.errors import UsageError
from labkit.training.pipeline.dependencies import numbered
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan, is_complete

Times = float | Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class StageTimes:
    """How long a stage takes with one micro-batch, in s.

    Attributes
    ----------
    forward_s, backward_s, weight_s : float, or sequence by stage, or sequence by stage and slice
        Of F, B and W; BW takes the sum of B and W. One number holds for all stages (and slices).
    communication_s : float
        From the end of an action to the moment when the next stage's rank has its result.

    Raises
    ------
    UsageError
        A time that is negative, infinite or no number.

    Examples
    --------
    >>> StageTimes(1.0, (1.0, 2.0), 0.5).table(2, 1).tolist()
    [[[1.0], [1.0]], [[1.0], [2.0]], [[0.5], [0.5]]]
    """

    forward_s: Times
    backward_s: Times
    weight_s: Times
    communication_s: float = 0.0

    def __post_init__(self):
        for name in ("forward_s", "backward_s", "weight_s", "communication_s"):
            value = getattr(self, name)
            try:
                array = np.asarray(value, dtype=np.float64)
                right = array.ndim <= (0 if name == "communication_s" else 2)
                right = right and bool(np.all(np.isfinite(array) & (array >= 0)))
            except (TypeError, ValueError):
                right = False
            if not right:
                raise UsageError(
                    f"{name}: a time in s is finite and 0 or more, one number or one a stage, not {value!r:.120}: "
                    "correct it."
                )
            object.__setattr__(self, name, float(value) if isinstance(value, Real) else _frozen(array.tolist()))

    def table(self, num_stages: int, num_slices: int) -> np.ndarray:
        """The times as float64 (3, num_stages, num_slices) of F, B, W.

        Raises
        ------
        UsageError
            There are times for another number of stages or slices.
        """
        rows = []
        for name in ("forward_s", "backward_s", "weight_s"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            array = array.reshape(array.shape + (1,) * (2 - array.ndim)) if array.ndim else array
            if array.ndim and (array.shape[0] != num_stages or array.shape[1] not in (1, num_slices)):
                raise UsageError(
                    f"{name} has the shape {np.shape(getattr(self, name))}, but the plan has {num_stages} stages and "
                    f"{num_slices} slices: pass one number, or one a stage."
                )
            rows.append(np.broadcast_to(array, (num_stages, num_slices)))
        return np.stack(rows)


def _frozen(values):
    return tuple(map(_frozen, values)) if isinstance(values, list) else values


@dataclass(frozen=True)
class SimulatedPipeline:
    """The times of all actions of a plan, and what follows from them.

    Attributes
    ----------
    plan : Plan
    times : StageTimes
    start_s, end_s : tuple of tuple of float
        By rank and position, as ``plan.actions``; the step begins at 0.
    """

    plan: Plan
    times: StageTimes
    start_s: tuple[tuple[float, ...], ...]
    end_s: tuple[tuple[float, ...], ...]

    @property
    def step_s(self) -> float:
        """From the first start to the last end of all ranks."""
        return max((of_rank[-1] for of_rank in self.end_s if of_rank), default=0.0)

    @cached_property
    def busy_s(self) -> tuple[float, ...]:
        """By rank: the sum of the times of its actions."""
        table = self.times.table(self.plan.num_stages, self.plan.num_slices)
        return tuple(sum(duration(table, action) for action in of_rank) for of_rank in self.plan.actions)

    @property
    def idle_share(self) -> tuple[float, ...]:
        """By rank: the share of the step in which it has nothing to do (0 to 1)."""
        return tuple(1 - busy / self.step_s if self.step_s else 0.0 for busy in self.busy_s)

    @property
    def bubble_fraction(self) -> float:
        """Of the time of all ranks together, the share that is idle: GPipe's (K - 1)/(M + K - 1)."""
        return sum(self.idle_share) / self.plan.num_ranks

    @property
    def bubble_of_ideal(self) -> float:
        """Idle time of the busiest rank, divided by its work: (p - 1)/m for 1F1B."""
        work = max(self.busy_s)
        return (self.step_s - work) / work if work else 0.0

    @property
    def cost_s(self) -> float:
        """The longest time from the first start to the last end of one rank: of a step, when steps follow closely."""
        return max(end[-1] - start[0] for start, end in zip(self.start_s, self.end_s, strict=True) if start)

    @property
    def bubble_rate(self) -> float:
        """``(cost - work)/cost`` with the work of the busiest rank: the bubble rate of the Zero Bubble paper."""
        return (self.cost_s - max(self.busy_s)) / self.cost_s if self.cost_s else 0.0


def duration(table: np.ndarray, action) -> float:
    """How long an action takes, in s, by the table of :meth:`StageTimes.table`."""
    part = action.slice or 0
    if action.kind == "BW":
        return float(table[1, action.stage, part] + table[2, action.stage, part])
    return float(table["FBW".index(action.kind), action.stage, part])


def simulate(plan: Plan, times: StageTimes) -> SimulatedPipeline:
    """The start and end of each action of ``plan``, every one as early as the plan allows.

    Parameters
    ----------
    plan : Plan
    times : StageTimes

    Returns
    -------
    SimulatedPipeline

    Raises
    ------
    PlanError
        The plan breaks a rule (a UsageError).
    UsageError
        Times for another number of stages.

    Notes
    -----
    Every action is looked at once, so the time is proportional to their number.

    Examples
    --------
    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> run = simulate(gpipe(2, 3), StageTimes(1.0, 1.0, 1.0))
    >>> run.step_s, run.start_s[1]
    (12.0, (1.0, 2.0, 3.0, 4.0, 6.0, 8.0))
    >>> run.bubble_fraction                     # (2 - 1)/(3 + 2 - 1)
    0.25
    """
    table = times.table(plan.num_stages, plan.num_slices)
    ran = _run(plan, table, times.communication_s) if is_complete(plan) else None
    if ran is None:
        check_plan(plan)  # says what is broken
    return SimulatedPipeline(plan, times, *ran)


def _run(plan: Plan, table: np.ndarray, communication_s: float):
    """Starts and ends by rank; None if the ranks wait for each other."""
    actions, ranges, needed = numbered(plan)
    durations = _durations(plan, table)
    rank_of = [rank for rank, span in enumerate(ranges) for _ in span]
    start, end = [0.0] * len(actions), [-1.0] * len(actions)
    heads, free = [span.start for span in ranges], [0.0] * plan.num_ranks
    waiting: dict[int, list[int]] = {}
    ready = list(range(plan.num_ranks))
    while ready:
        rank = ready.pop()
        number, stop, now = heads[rank], ranges[rank].stop, free[rank]
        while number < stop:
            blocker = None
            for other in needed[number]:
                there = end[other]
                if there < 0:
                    blocker = other
                    break
                if rank_of[other] != rank:
                    there += communication_s
                if there > now:
                    now = there
            if blocker is not None:
                waiting.setdefault(blocker, []).append(rank)
                break
            start[number] = now
            now += durations[number]
            end[number] = now
            if number in waiting:
                ready += waiting.pop(number)
            number += 1
        heads[rank], free[rank] = number, now
    if waiting:
        return None  # a deadlock
    return tuple(tuple(start[s.start : s.stop]) for s in ranges), tuple(tuple(end[s.start : s.stop]) for s in ranges)


def _durations(plan: Plan, table: np.ndarray) -> list[float]:
    forward, backward, weight = table.tolist()
    both = (table[1] + table[2]).tolist()
    by_kind = {"F": forward, "B": backward, "W": weight, "BW": both}
    return [by_kind[a.kind][a.stage][a.slice or 0] for of_rank in plan.actions for a in of_rank]
