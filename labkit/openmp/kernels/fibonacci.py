"""Fibonacci numbers by their definition: a tree of calls, each of which may be a task.

Nobody computes them so; it shows what tasks cost, and what a cut-off is for.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.openmp.checks import whole_number
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.tasks import task, taskwait

CUTOFF = 20  # 22 000 calls
MOST = 45  # 4e9 calls: some seconds
INPUT_MOST = 25  # of make_input


@njit(cache=True, nogil=True)
def fibonacci_calls(n):
    if n < 2:
        return n
    return fibonacci_calls(n - 1) + fibonacci_calls(n - 2)


@njit(cache=True, nogil=True)
def fibonacci_task(team, n, cutoff, result):
    if n < cutoff:
        result[0] = fibonacci_calls(n)
        return
    parts = np.zeros(2, np.int64)
    task(team, fibonacci_task, (team, n - 1, cutoff, parts[:1]))
    task(team, fibonacci_task, (team, n - 2, cutoff, parts[1:]))
    taskwait()
    result[0] = parts[0] + parts[1]


def fibonacci_serial(team, n, *, schedule=None) -> int:
    """F(n) = F(n - 1) + F(n - 2), F(0) = 0, F(1) = 1, on one thread."""
    return fibonacci_calls(whole_number("n", n, 0, MOST))


def fibonacci_naive(team, n, *, schedule=None) -> int:
    """A task for each call."""
    return fibonacci_fast(team, n, cutoff=2)


def fibonacci_fast(team, n, *, schedule=None, cutoff=CUTOFF) -> int:
    """Tasks for numbers from ``cutoff`` on, calls below.

    Parameters
    ----------
    n : int
        0 to 45.
    cutoff : int
        2 or more.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> fibonacci_fast(Team(2), 30)
    832040
    """
    result = np.zeros(1, np.int64)
    team.tasks(fibonacci_task, whole_number("n", n, 0, MOST), whole_number("cutoff", cutoff, 2), result)
    return int(result[0])


def make_input(size: int, seed: int = 0) -> tuple:
    """F(``size``), at most F(25)."""
    return (min(size, INPUT_MOST),)


def oracle(n) -> int:
    """From below."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


LADDERS = (
    Ladder(
        "fibonacci",
        (
            Version("serial", fibonacci_serial, True, "One thread."),
            Version("naive", fibonacci_naive, True, "Slow: a task costs as much as hundreds of additions."),
            Version("fast", fibonacci_fast, True, "Calls instead of tasks below the cut-off."),
        ),
        oracle, make_input, bytes=lambda n: 0, flops=lambda n: oracle(n + 1) - 1,  # additions that the calls make
    ),
)  # fmt: skip
