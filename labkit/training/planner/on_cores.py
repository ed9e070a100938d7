"""When each action of a plan runs, if ranks share cores.

:func:`labkit.training.pipeline.simulate.simulate` gives every rank a processor of its own. On a machine with fewer cores
than ranks those that have something to do share the cores evenly, as an operating system does; and a rank that waits
is not idle either, for it looks for its message again and again.
"""

from __future__ import annotations

import math
from numbers import Real

from labkit.errors import UsageError
from labkit.training.pipeline.dependencies import numbered
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.simulate import SimulatedPipeline, StageTimes, duration

SLACK = 1e-12  # of a rounded time


def simulate_on_cores(
    plan: Plan, times: StageTimes, num_cores: float, *, waiting_share: float = 0.0, ended_share: float = 0.0
) -> SimulatedPipeline:
    """The start and end of each action, every one as early as plan and cores allow.

    While n ranks compute, w wait and e have ended, each of the n goes at the speed ``min(1, cores / (n + w *
    waiting_share + e * ended_share))``.

    Parameters
    ----------
    plan : Plan
    times : StageTimes
        With a core alone.
    num_cores : float
        For the ranks of this plan: half of the machine's where two replicas run.
    waiting_share, ended_share : float
        What a rank takes of a core while it waits for a message, and after its last action: 0 if it sleeps, 1 if it polls.

    Raises
    ------
    UsageError
        A plan that breaks a rule, no core, or shares outside 0 to 1.

    Notes
    -----
    With a core for each rank it is :func:`~labkit.training.pipeline.simulate.simulate`. Every end of an action looks at all
    ranks, so the time is their number times that of the actions.

    Examples
    --------
    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> plan, times = gpipe(2, 3), StageTimes(1.0, 1.0, 1.0)
    >>> [simulate_on_cores(plan, times, cores).step_s for cores in (2, 1)]
    [12.0, 18.0]
    """
    if isinstance(num_cores, bool) or not isinstance(num_cores, Real) or not 0 < num_cores < math.inf:
        raise UsageError(f"num_cores={num_cores!r}: ranks need a part of a core or more; pass the number of cores.")
    for name, share in (("waiting_share", waiting_share), ("ended_share", ended_share)):
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
            raise UsageError(f"{name}={share!r} is a share of a core: pass 0 (sleeps) to 1 (polls).")
    check_plan(plan)
    run = _Cores(plan, times, float(num_cores), waiting_share, ended_share)
    run.go()
    return SimulatedPipeline(plan, times, *run.by_rank())


class _Cores:
    """The state of all ranks, moved from the end of one action to the next."""

    def __init__(self, plan: Plan, times: StageTimes, num_cores: float, waiting_share: float, ended_share: float):
        self.actions, self.ranges, self.needed = numbered(plan)
        self.num_cores, self.waiting_share, self.ended_share = num_cores, waiting_share, ended_share
        table = times.table(plan.num_stages, plan.num_slices)
        self.work = [duration(table, action) for action in self.actions]
        self.rank_of = [rank for rank, span in enumerate(self.ranges) for _ in span]
        self.communication_s = times.communication_s
        self.heads = [span.start for span in self.ranges]
        self.left: list[float | None] = [None] * plan.num_ranks  # work left of the action under way
        self.start, self.end = [0.0] * len(self.actions), [math.inf] * len(self.actions)
        self.now = 0.0

    def go(self) -> None:
        num_ended = -1
        while num_ended < len(self.ranges):
            opens = self._begin()
            running = [rank for rank, left in enumerate(self.left) if left is not None]
            num_ended = sum(head == span.stop for head, span in zip(self.heads, self.ranges, strict=True))
            num_waiting = len(self.ranges) - num_ended - len(running)
            load = len(running) + num_waiting * self.waiting_share + num_ended * self.ended_share
            speed = min(1.0, self.num_cores / load) if load else 1.0
            until = min([self.now + self.left[rank] / speed for rank in running] + opens, default=self.now)
            for rank in running:
                self.left[rank] -= (until - self.now) * speed
                if self.left[rank] <= SLACK * (1.0 + until):
                    self.end[self.heads[rank]], self.left[rank] = until, None
                    self.heads[rank] += 1
            self.now = until

    def _begin(self) -> list[float]:
        """Start what can start; the moments at which a message arrives that a rank waits for."""
        opens = []
        for rank, span in enumerate(self.ranges):
            number = self.heads[rank]
            if self.left[rank] is not None or number == span.stop:
                continue
            there = max((self._there(other, rank) for other in self.needed[number]), default=0.0)
            if there <= self.now + SLACK * (1.0 + self.now):
                self.start[number], self.left[rank] = self.now, self.work[number]
            elif there < math.inf:
                opens.append(there)
        return opens

    def _there(self, other: int, rank: int) -> float:
        return self.end[other] + (self.communication_s if self.rank_of[other] != rank else 0.0)

    def by_rank(self):
        return tuple(tuple(tuple(row[s.start : s.stop]) for s in self.ranges) for row in (self.start, self.end))
