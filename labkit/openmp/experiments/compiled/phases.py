"""Work in phases with a barrier after each, and a barrier that can be told how long to look before it yields."""

from __future__ import annotations

from numba import njit

from labkit.openmp.experiments.compiled.work import spend_iterations
from labkit.openmp.intrinsics import fetch_add, load, num_threads, store, thread_num, yield_core
from labkit.openmp.shared import GOING_ON, STOP
from labkit.openmp.sync import Released, static_block

NEVER, AT_ONCE = 0, 1
NO_BARRIER = -1
LOOKS = {"no barrier": NO_BARRIER, "yielding": AT_ONCE, "spinning": NEVER}
ARRIVED, GENERATION = 0, 16  # places in ``arrivals``, two cache lines apart


@njit
def patient_barrier(team, arrivals, looks):
    """Go on when all are here; after so many looks the thread offers its core to others, or never."""
    generation = load(arrivals, GENERATION)
    if fetch_add(arrivals, ARRIVED, 1) == num_threads() - 1:
        store(arrivals, ARRIVED, 0)
        store(arrivals, GENERATION, generation + 1)
        return
    count = 0
    while load(arrivals, GENERATION) == generation:
        if load(team, STOP) != GOING_ON:
            raise Released("the region has ended early")
        count += 1
        if looks != NEVER and count % looks == 0:
            yield_core()


@njit(cache=True)
def work_in_phases(team, num_phases, units, looks, arrivals, totals):
    """Every phase has all units, shared evenly; ``totals[thread, 0]`` is the sum of what this thread did."""
    start, stop = static_block(units.size)
    total = 0
    for _ in range(num_phases):
        total += spend_iterations(start, stop, units)
        if looks != NO_BARRIER:
            patient_barrier(team, arrivals, looks)
    totals[thread_num(), 0] = total
