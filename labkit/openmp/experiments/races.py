"""A race: threads add to one number without asking each other, and additions are lost.

``total += value`` is three steps: read the total, add, write it back. When two threads read the same total, both write
back the same sum, and one of the additions is gone. How many are lost is another number in every run.

What makes it right, and what that costs, is in :mod:`.sum_costs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.hardware.timing import Contention
from labkit.openmp.checks import seconds, whole_number
from labkit.openmp.experiments.rounds import MOST_ROUNDS, Progress, silent, usable_cores

MOST_THREADS = 512
MOST_UPDATES = 10_000_000
MOST_RUNS_UNTIL_SEEN = 5  # times the runs that were asked for, until a race has shown itself


@dataclass(frozen=True, eq=False)
class RaceReport:
    """What came out of a sum with a race, run many times.

    Attributes
    ----------
    num_threads, num_cores : int
        Threads of the team, and cores that it could use at the same time.
    expected : int
        The right sum: one for each update.
    results : ndarray of int64, shape (num_runs,)
        What came out, run by run.
    times_s : ndarray of float64, shape (num_runs,)
    busy : bool
        Whether other processes used much of the machine meanwhile.
    """

    num_threads: int
    num_cores: int
    expected: int
    results: np.ndarray
    times_s: np.ndarray
    busy: bool = False

    @property
    def num_runs(self) -> int:
        return len(self.results)

    @property
    def num_wrong(self) -> int:
        return int((self.results != self.expected).sum())

    @property
    def share_wrong(self) -> float:
        """Of the runs, 0 to 1."""
        return self.num_wrong / self.num_runs

    @property
    def smallest(self) -> int:
        """The smallest result."""
        return int(self.results.min())

    @property
    def most_lost(self) -> int:
        """Updates that the worst run lost."""
        return self.expected - self.smallest

    @property
    def was_seen(self) -> bool:
        """Whether the race showed itself."""
        return self.num_wrong > 0

    def words(self) -> str:
        """The report in a sentence or two.

        Examples
        --------
        >>> RaceReport(2, 2, 100, np.array([100, 60, 80, 80]), np.ones(4)).words()
        '3 of 4 runs on 2 threads are wrong: the worst lost 40 of 100 updates.'
        """
        runs = f"{self.num_runs:,} run{'' if self.num_runs == 1 else 's'} on {threads_text(self.num_threads)}"
        if self.was_seen:
            return (
                f"{self.num_wrong:,} of {runs} {'is' if self.num_wrong == 1 else 'are'} wrong: the worst lost "
                f"{self.most_lost:,} of {self.expected:,} updates."
            )
        if self.num_threads == 1:
            return f"All of {runs} are right: one thread has nobody to race with."
        if self.num_cores == 1:
            why = "on one core threads take turns of milliseconds, so that they hardly ever meet in an update"
        elif self.busy:
            why = "other processes use the cores, so that the threads hardly ever run at the same time"
        else:
            why = "the threads did not meet"
        return f"No race was seen in {runs}: {why}. It is there all the same: try more runs, or more updates."


def watch_race(
    num_threads: int = 2, num_updates: int = 20_000, *, num_runs: int = 200, limit_s: float = 2.5,
    progress: Progress = silent,
) -> RaceReport:
    """Run a sum with a race many times.

    Parameters
    ----------
    num_threads : int
        1 to 512.
    num_updates : int
        Of one shared number, by all threads together, each adding 1. 1 to 10 million.
    num_runs : int
        1 to 10 000. When none of them was wrong, up to five times as many are made, until one is.
    limit_s : float
        No run is begun later.
    progress : callable

    Returns
    -------
    RaceReport

    Raises
    ------
    UsageError
        Sizes out of range.

    Notes
    -----
    The update is written so that it reads and writes memory every time. A compiler may keep ``total[0] += 1`` of a
    loop in a register and write once at the end: then the race is rarer, and loses more.

    Examples
    --------
    >>> report = watch_race(1, 1_000, num_runs=20)
    >>> report.num_wrong, report.results.tolist() == [1_000] * 20
    (0, True)
    """
    p = whole_number("num_threads", num_threads, 1, MOST_THREADS)
    n = whole_number("num_updates", num_updates, 1, MOST_UPDATES)
    num_runs = whole_number("num_runs", num_runs, 1, MOST_ROUNDS)
    limit_s = seconds("limit_s", limit_s)
    progress(f"race on {threads_text(p)}: getting ready ...")
    run = runner("unsafe", p, n)
    run()
    most_runs = num_runs if p == 1 else num_runs * MOST_RUNS_UNTIL_SEEN
    results, times = [], []
    deadline = time.monotonic() + limit_s
    with Contention() as contention:
        while True:
            if len(results) % max(num_runs // 4, 1) == 0:
                progress(f"race on {threads_text(p)}: run {len(results) + 1} ...")
            start = time.perf_counter()
            results.append(run())
            times.append(time.perf_counter() - start)
            seen_enough = len(results) >= num_runs and results.count(n) < len(results)
            if seen_enough or len(results) >= most_runs or time.monotonic() > deadline:
                break
    return RaceReport(p, usable_cores(), n, np.array(results), np.array(times), contention.busy)


def runner(version: str, num_threads: int, num_updates: int) -> Callable[[], int]:
    """A function that does the sum of ones once, in one of the versions, and returns what came out."""
    from labkit.openmp.experiments.compiled import races as kernels
    from labkit.openmp.team import Team

    values, total = np.ones(num_updates, np.int64), np.zeros(8, np.int64)
    if version == "serial":
        return lambda: int(kernels.add_serially(0, num_updates, values))
    team = Team(num_threads)
    if version in ("reduction", "reproducible"):
        reproducible = version == "reproducible"
        return lambda: int(team.parallel_for(
            kernels.add_serially, num_updates, values, reduction="+", reproducible=reproducible
        ))

    def run() -> int:
        total[0] = 0
        if version == "atomic":
            team.parallel_for(kernels.add_atomically, num_updates, values, total)
        else:
            team.parallel(kernels.race if version == "unsafe" else kernels.add_in_critical, values, total)
        return int(total[0])

    return run


def threads_text(number: int) -> str:
    """For example ``2 threads``."""
    return f"{number} thread{'' if number == 1 else 's'}"
