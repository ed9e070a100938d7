"""One loop, compiled twice: giving the interpreter's lock back while it runs, and keeping it."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_remainders(start, stop):
    """The sum of ``i * i % 7``."""
    total = 0
    for i in range(start, stop):
        total += i * i % 7
    return total


@njit(cache=True)
def add_remainders_with_lock(start, stop):
    """The same, and nobody else executes Python meanwhile."""
    total = 0
    for i in range(start, stop):
        total += i * i % 7
    return total
