"""More threads than cores: the same work on more and more threads, alone and with barriers in it.

Threads that never wait for each other share the cores fairly, and the work takes as long as on one thread a core.
Threads that meet at barriers do not: whoever arrives early waits for threads that have no core. A barrier that spins
(looks at a number in memory again and again) keeps the core from them until the system takes it away, some milliseconds
later; one that yields gives it to them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.checks import seconds, whole_number
from labkit.openmp.experiments.rounds import Progress, clocked, in_rounds, real_number, silent, usable_cores

MOST_THREADS = 512
MOST_PHASES = 1_000
WORK_S = 4e-3  # on one thread
MOST_WORK_S = 1.0
WAYS = ("no barrier", "yielding", "spinning")


@dataclass(frozen=True, eq=False)
class OversubscriptionCurve:
    """The same work on different numbers of threads.

    Attributes
    ----------
    num_cores : int
    num_phases : int
        Parts of the work, with a barrier after each.
    work_s : float
        What the work takes on one thread.
    num_threads : ndarray of int64, shape (n,)
        Ascending.
    times_s : dict of str to ndarray of float64, shape (num_rounds, n)
        By way: ``no barrier``, ``yielding`` and ``spinning``.
    num_wrong : int
        Rounds whose result was not that of one thread.
    busy : bool
        Whether other processes used much of the machine meanwhile.
    """

    num_cores: int
    num_phases: int
    work_s: float
    num_threads: np.ndarray
    times_s: dict[str, np.ndarray]
    num_wrong: int = 0
    busy: bool = False

    def median_s(self, way: str) -> np.ndarray:
        """Of the rounds, shape (n,)."""
        return np.median(self.times_s[way], axis=0)

    def throughput(self, way: str) -> np.ndarray:
        """Work of one thread per time it would take that thread: the speed-up, shape (n,)."""
        return self.work_s / self.median_s(way)

    def barrier_s(self, way: str) -> np.ndarray:
        """What a barrier adds to the time of the work, in s, shape (n,); noise can make it negative."""
        return (self.median_s(way) - self.median_s("no barrier")) / self.num_phases

    def words(self) -> str:
        """The last point in a sentence or two."""
        p, last = int(self.num_threads[-1]), {way: float(self.median_s(way)[-1]) * 1e3 for way in WAYS}
        cores = f"{self.num_cores} core{'' if self.num_cores == 1 else 's'}"
        text = (
            f"{p} thread{'' if p == 1 else 's'} on {cores}: the work takes {last['no barrier']:.3g} ms without "
            f"barriers, {last['yielding']:.3g} ms with {self.num_phases} barriers that yield, "
            f"{last['spinning']:.3g} ms with {self.num_phases} that spin."
        )
        return text + (" Other processes used the cores meanwhile: measure again." if self.busy else "")


def default_threads(num_cores: int) -> tuple[int, ...]:
    """1, the cores, and up to four times as many.

    Examples
    --------
    >>> default_threads(2), default_threads(1)
    ((1, 2, 3, 4, 6, 8), (1, 2, 3, 4))
    """
    factors = (1, 1.5, 2, 3, 4)
    found = {1, *(round(num_cores * factor) for factor in factors)} | ({3} if num_cores == 1 else set())
    return tuple(sorted(p for p in found if p <= MOST_THREADS))


def oversubscription_curve(
    num_threads: Sequence[int] | None = None, *, num_phases: int = 5, work_s: float = WORK_S, num_rounds: int = 7,
    limit_s: float = 1.2, progress: Progress = silent,
) -> OversubscriptionCurve:
    """Measure the same work on different numbers of threads.

    Parameters
    ----------
    num_threads : sequence of int, optional
        Each 1 to 512; by default 1 to four times the usable cores.
    num_phases : int
        The work is cut into so many parts, each shared by all threads, with a barrier after it. 1 to 1000.
    work_s : float
        What the whole work takes on one thread, in s; at most 1.
    num_rounds : int
        Everything is measured in turn, so many times.
    limit_s : float
        No round is begun later.
    progress : callable

    Returns
    -------
    OversubscriptionCurve

    Raises
    ------
    UsageError
        Sizes out of range.

    Examples
    --------
    >>> curve = oversubscription_curve([1, 2], num_phases=2, work_s=1e-4, num_rounds=1)
    >>> curve.num_wrong, curve.median_s("yielding").shape
    (0, (2,))
    """
    from labkit.openmp.experiments.compiled.work import steps_of, steps_per_second

    cores = usable_cores()
    if num_threads is None:
        num_threads = default_threads(cores)
    elif not isinstance(num_threads, Iterable):
        num_threads = (num_threads,)
    threads = sorted({whole_number("num_threads", p, 1, MOST_THREADS) for p in num_threads})
    if not threads:
        raise UsageError("num_threads is empty: pass at least one number of threads, for example [1, 2, 4].")
    num_phases = whole_number("num_phases", num_phases, 1, MOST_PHASES)
    work_s = real_number("work_s", work_s, MOST_WORK_S, " s")
    limit_s = seconds("limit_s", limit_s)
    # Units of work that every number of threads shares evenly, up to one.
    num_units = 64 * max(threads)
    steps = int(steps_of(np.array([work_s / num_units / num_phases]))[0]) or 1
    is_right = []
    expected = _expected(num_phases, num_units, steps)
    actions = {
        (way, p): _action(way, p, num_phases, num_units, steps, expected, is_right) for p in threads for way in WAYS
    }
    times_s, busy = in_rounds(actions, num_rounds, limit_s=limit_s, progress=progress, what="more threads than cores")
    return OversubscriptionCurve(
        cores, num_phases, num_phases * num_units * steps / steps_per_second(), np.array(threads),
        {way: np.stack([times_s[way, p] for p in threads], axis=1) for way in WAYS}, is_right.count(False), busy,
    )


def _expected(num_phases: int, num_units: int, steps: int) -> int:
    """The sum that all threads together come to: phase by phase, unit by unit, on one thread."""
    from labkit.openmp.experiments.compiled.work import spend_iterations

    return num_phases * int(spend_iterations(0, num_units, np.full(num_units, steps)))


def _action(
    way: str, p: int, num_phases: int, num_units: int, steps: int, expected: int, is_right: list
) -> Callable[[], float]:
    """A function that does the work once and returns the time in s."""
    from labkit.openmp.experiments.compiled.phases import LOOKS, work_in_phases
    from labkit.openmp.team import Team

    team, units, looks = Team(p), np.full(num_units, steps), LOOKS[way]
    totals = np.zeros((p, 16), np.int64)
    arrivals = np.zeros(32, np.int64)

    def once() -> float:
        totals[:], arrivals[:] = 0, 0
        duration_s = clocked(lambda: team.parallel(work_in_phases, num_phases, units, looks, arrivals, totals))
        is_right.append(int(totals[:, 0].sum()) == expected)
        return duration_s

    return once
