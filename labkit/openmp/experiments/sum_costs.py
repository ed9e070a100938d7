"""The sum of :mod:`.races` done right in four ways, and what an update costs in each.

A critical section lets one thread at a time add. An atomic addition is one step of the processor. In a reduction each
thread has a total of its own, and these are added at the end. In a reproducible one, the order of the additions does
not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.openmp.checks import seconds, whole_number
from labkit.openmp.experiments.races import MOST_THREADS, MOST_UPDATES, runner, threads_text
from labkit.openmp.experiments.rounds import Progress, clocked, in_rounds, silent, usable_cores

SAFE = ("critical", "atomic", "reduction", "reproducible")
MOST_CRITICAL_UPDATES = 20_000


@dataclass(frozen=True, eq=False)
class SumCosts:
    """Versions of the same sum, and what an update costs in each.

    Attributes
    ----------
    num_threads, num_cores : int
    num_updates : dict of str to int
        By version: critical sections may be given fewer.
    times_s : dict of str to ndarray of float64
        By version (``serial``, ``critical``, ``atomic``, ``reduction``, ``reproducible``) the time of the whole sum,
        round by round.
    num_wrong : dict of str to int
        By version: rounds with a wrong result.
    busy : bool
    """

    num_threads: int
    num_cores: int
    num_updates: dict[str, int]
    times_s: dict[str, np.ndarray]
    num_wrong: dict[str, int]
    busy: bool = False

    def update_ns(self, version: str) -> float:
        """Time of the sum over the number of updates, in ns: the median of the rounds.

        The best round of a critical section would be one in which the threads did not meet.
        """
        return float(np.median(self.times_s[version])) / self.num_updates[version] * 1e9

    def ratio(self, version: str) -> float:
        """Cost of an update, over that of the serial loop."""
        return self.update_ns(version) / self.update_ns("serial")

    @property
    def all_right(self) -> bool:
        """Whether every result of every version was right."""
        return not any(self.num_wrong.values())


def sum_costs(
    num_threads: int = 2, num_updates: int = 200_000, *, num_rounds: int = 60, limit_s: float = 1.5,
    progress: Progress = silent,
) -> SumCosts:
    """The sum of :func:`.watch_race` done right in four ways, and in a serial loop: what does an update cost?

    Parameters
    ----------
    num_threads : int
        1 to 512.
    num_updates : int
        1 to 10 million; with critical sections at most 20 000.
    num_rounds : int
        Versions are run in turn, so many times.
    limit_s : float
        No round is begun later.
    progress : callable

    Returns
    -------
    SumCosts

    Raises
    ------
    UsageError
        Sizes out of range.

    Notes
    -----
    The serial loop and the reductions keep their totals in a register, and the compiler adds several values at once:
    that is what is possible when nothing is shared. The times contain the launch of the threads (about a microsecond).

    Examples
    --------
    >>> costs = sum_costs(2, 2_000, num_rounds=2)
    >>> costs.all_right, costs.ratio("serial")
    (True, 1.0)
    """
    p = whole_number("num_threads", num_threads, 1, MOST_THREADS)
    n = whole_number("num_updates", num_updates, 1, MOST_UPDATES)
    limit_s = seconds("limit_s", limit_s)
    versions = ("serial", *SAFE)
    num_wrong = dict.fromkeys(versions, 0)
    sizes = {version: min(n, MOST_CRITICAL_UPDATES) if version == "critical" else n for version in versions}

    def action(version: str) -> Callable[[], float]:
        run, size = runner(version, p, sizes[version]), sizes[version]

        def once() -> float:
            result = []
            duration_s = clocked(lambda: result.append(run()))
            num_wrong[version] += result[0] != size
            return duration_s

        return once

    times_s, busy = in_rounds(
        {version: action(version) for version in versions}, num_rounds, limit_s=limit_s, progress=progress,
        what=f"sums on {threads_text(p)}",
    )
    return SumCosts(p, usable_cores(), sizes, times_s, num_wrong, busy)
