"""Threads that count, each in a counter of its own: bodies of parallel regions."""

from __future__ import annotations

from numba import njit

from labkit.openmp.intrinsics import fetch_add, load, store, thread_num, wtime
from labkit.openmp.sync import barrier


@njit(cache=True)
def count_plainly(team, counters, stride, num_increments, times):
    """Load, add, store; ``times[thread]`` are begin and end in s."""
    thread = thread_num()
    place = thread * stride
    barrier(team)
    begin = wtime()
    for _ in range(num_increments):
        store(counters, place, load(counters, place) + 1)
    end = wtime()
    times[thread, 0], times[thread, 1] = begin, end


@njit(cache=True)
def count_atomically(team, counters, stride, num_increments, times):
    """As :func:`count_plainly`, with atomic additions."""
    thread = thread_num()
    place = thread * stride
    barrier(team)
    begin = wtime()
    for _ in range(num_increments):
        fetch_add(counters, place, 1)
    end = wtime()
    times[thread, 0], times[thread, 1] = begin, end
