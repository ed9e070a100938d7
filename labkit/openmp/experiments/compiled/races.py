"""One sum, compiled in four ways: alone, with a race, with atomic additions, in critical sections."""

from __future__ import annotations

from numba import njit

from labkit.openmp.intrinsics import fetch_add, load, store
from labkit.openmp.sync import barrier, critical_enter, critical_exit, static_block


@njit(cache=True, nogil=True)
def add_serially(start, stop, values):
    """The sum of ``values[start:stop]``, kept in a register."""
    total = 0
    for value in values[start:stop]:
        total += value
    return total


@njit(cache=True)
def add_unsafely(start, stop, values, total):
    """The race: between the load and the store another thread may have stored."""
    for i in range(start, stop):
        store(total, 0, load(total, 0) + values[i])


@njit(cache=True)
def race(team, values, total):
    """All threads begin together: one that comes late would have nobody to race with."""
    start, stop = static_block(values.size)
    barrier(team)
    add_unsafely(start, stop, values, total)


@njit(cache=True)
def add_atomically(start, stop, values, total):
    """Load, add and store as one step of the processor."""
    for i in range(start, stop):
        fetch_add(total, 0, values[i])


@njit(cache=True)
def add_in_critical(team, values, total):
    """One thread at a time is between enter and exit."""
    start, stop = static_block(values.size)
    for i in range(start, stop):
        critical_enter(team)
        total[0] += values[i]
        critical_exit(team)
