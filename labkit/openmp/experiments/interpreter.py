"""What is really parallel in this interpreter: the same loop on threads, in five ways.

The usual CPython has a lock (the GIL) that a thread holds while it executes Python, so that Python threads take turns.
Compiled code may give the lock back while it runs: kernels of ``numba.njit(nogil=True)``, large operations of NumPy,
and the threads of a :class:`.Team`, which never had it. Free-threaded builds (3.13t and later) have no such lock.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from labkit.openmp.checks import seconds, whole_number
from labkit.openmp.experiments.rounds import Progress, clocked, in_rounds, real_number, silent, usable_cores

MOST_THREADS = 64
MOST_SCALE = 100.0
WAYS = {
    "Python": "a loop in Python, on Python threads",
    "compiled, keeps the lock": "numba.njit, on Python threads",
    "compiled, gives the lock back": "numba.njit(nogil=True), on Python threads",
    "NumPy": "operations on arrays, on Python threads",
    "Team": "the same kernel on OpenMP's threads",
}
# Iterations of the loop, so that each way takes some milliseconds on one thread.
NUM_ITERATIONS = {"Python": 150_000, "NumPy": 4_000_000}
NUM_COMPILED_ITERATIONS = 10_000_000
BLOCK = 16_384  # elements that NumPy works on at once


@dataclass(frozen=True, eq=False)
class LockReport:
    """The speed-up of the same loop on threads, by way.

    Attributes
    ----------
    num_threads, num_cores : int
    is_lock_on : bool
        Whether this interpreter's threads take turns executing Python.
    is_free_threaded_build : bool
        Whether it can do without: the lock may be on all the same.
    serial_s, parallel_s : dict of str to ndarray of float64
        By way: the whole loop on one thread, and shared by all threads, round by round.
    num_wrong : int
        Loops whose result was wrong.
    busy : bool
        Whether other processes used much of the machine meanwhile.
    """

    num_threads: int
    num_cores: int
    is_lock_on: bool
    is_free_threaded_build: bool
    serial_s: dict[str, np.ndarray]
    parallel_s: dict[str, np.ndarray]
    num_wrong: int = 0
    busy: bool = False

    def speedup(self, way: str) -> float:
        """Time on one thread over time on all; of each the best round, which others have disturbed least."""
        return float(self.serial_s[way].min() / self.parallel_s[way].min())

    def words(self) -> str:
        """What kind of interpreter this is, and what follows."""
        version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        if not self.is_lock_on:
            kind = f"{version}, free-threaded: threads execute Python at the same time."
        elif self.is_free_threaded_build:
            kind = f"{version}, a free-threaded build whose lock is on: threads take turns executing Python."
        else:
            kind = f"{version} with its lock (GIL): threads take turns executing Python."
        if self.num_cores == 1:
            return f"{kind} Only one core is usable, so nothing can be faster on threads here."
        return kind + (" Other processes used the cores meanwhile: measure again." if self.busy else "")


def is_lock_on() -> bool:
    """Whether threads of this interpreter take turns executing Python."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def is_free_threaded_build() -> bool:
    """Whether this interpreter was built so that it can do without the lock."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def lock_report(
    num_threads: int | None = None, *, scale: float = 1.0, num_rounds: int = 25, limit_s: float = 1.5,
    progress: Progress = silent,
) -> LockReport:
    """Measure the same loop on one thread and on several, in five ways.

    Parameters
    ----------
    num_threads : int, optional
        1 to 64; by default one a usable core.
    scale : float
        Of the number of iterations, by default some milliseconds' worth; 0 to 100.
    num_rounds : int
        Everything is measured in turn, so many times.
    limit_s : float
        No round is begun later.
    progress : callable

    Returns
    -------
    LockReport

    Raises
    ------
    UsageError
        Sizes out of range.

    Examples
    --------
    >>> report = lock_report(2, scale=0.01, num_rounds=1)
    >>> report.num_wrong, list(report.parallel_s) == list(WAYS)
    (0, True)
    """
    p = min(usable_cores(), MOST_THREADS) if num_threads is None else num_threads
    p = whole_number("num_threads", p, 1, MOST_THREADS)
    scale, limit_s = real_number("scale", scale, MOST_SCALE), seconds("limit_s", limit_s)
    is_right: list[bool] = []
    with ThreadPoolExecutor(p, thread_name_prefix="labkit experiment") as pool:
        actions = {}
        for way in WAYS:
            n = max(int(scale * NUM_ITERATIONS.get(way, NUM_COMPILED_ITERATIONS)), 1)
            serial, parallel = _loops(way, p, pool)
            expected = sum_of_remainders(n)
            actions[way, "serial"] = _checked(serial, n, expected, is_right)
            actions[way, "parallel"] = _checked(parallel, n, expected, is_right)
        what = f"the same loop on 1 and {p} threads"
        times_s, busy = in_rounds(actions, num_rounds, limit_s=limit_s, progress=progress, what=what)
    return LockReport(
        p, usable_cores(), is_lock_on(), is_free_threaded_build(), {way: times_s[way, "serial"] for way in WAYS},
        {way: times_s[way, "parallel"] for way in WAYS}, is_right.count(False), busy,
    )


def sum_of_remainders(n: int) -> int:
    """The sum of ``i * i % 7`` for i from 0 to n - 1, without a loop over all of them.

    Examples
    --------
    >>> sum_of_remainders(100) == sum(i * i % 7 for i in range(100))
    True
    """
    period = [i * i % 7 for i in range(7)]
    return n // 7 * sum(period) + sum(period[: n % 7])


def add_in_python(start: int, stop: int) -> int:
    """The loop, in Python."""
    total = 0
    for i in range(start, stop):
        total += i * i % 7
    return total


def add_with_numpy(start: int, stop: int) -> int:
    """The loop, as operations on blocks of numbers."""
    total = 0
    for first in range(start, stop, BLOCK):
        i = np.arange(first, min(first + BLOCK, stop))
        total += int((i * i % 7).sum())
    return total


def _loops(way: str, p: int, pool: ThreadPoolExecutor) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """Functions that do the loop of n iterations on one thread, and on ``p``."""
    if way in ("Python", "NumPy"):
        share = add_in_python if way == "Python" else add_with_numpy
    else:
        from labkit.openmp.experiments.compiled.remainders import add_remainders, add_remainders_with_lock

        share = add_remainders_with_lock if way == "compiled, keeps the lock" else add_remainders
    if way == "Team":
        from labkit.openmp.team import Team

        team = Team(p)
        return lambda n: share(0, n), lambda n: team.parallel_for(share, n, reduction="+")

    def on_threads(n: int) -> int:
        bounds = [n * k // p for k in range(p + 1)]
        return sum(pool.map(share, bounds[:-1], bounds[1:]))

    return lambda n: share(0, n), on_threads


def _checked(loop: Callable[[int], int], n: int, expected: int, is_right: list[bool]) -> Callable[[], float]:
    def once() -> float:
        result = []
        duration_s = clocked(lambda: result.append(loop(n)))
        is_right.append(result[0] == expected)
        return duration_s

    return once
