"""What the threads of a region say to each other: for compiled bodies of :meth:`labkit.openmp.team.Team.parallel`.

``team`` is the first argument that a body gets. These waits end when another thread has raised or the Stop button
was pressed: then the thread that waits leaves its body, and nothing hangs.
"""

from __future__ import annotations

from numba import njit

from labkit.openmp.intrinsics import compare_and_swap, fetch_add, load, num_threads, store, thread_num, yield_core
from labkit.openmp.shared import ARRIVED, GENERATION, GOING_ON, LINE, LOCKS, NUM_LOCKS, ROW_SINGLES, ROWS, SINGLES, STOP

SPINS = 2000  # looks before a thread that waits offers its core to others


class Released(Exception):
    """Raised in a thread that waits for others when the region ends early."""


@njit
def _wait_a_little(team, spins):
    """Between two looks of a thread that waits."""
    if load(team, STOP) != GOING_ON:
        raise Released("the region has ended early")
    if spins % SPINS == SPINS - 1:
        yield_core()


@njit
def barrier(team):
    """``#pragma omp barrier``: go on when all threads of the team are here."""
    generation = load(team, GENERATION)
    if fetch_add(team, ARRIVED, 1) == num_threads() - 1:
        store(team, ARRIVED, 0)
        store(team, GENERATION, generation + 1)
        return
    spins = 0
    while load(team, GENERATION) == generation:
        _wait_a_little(team, spins)
        spins += 1


@njit
def critical_enter(team, number=0):
    """``#pragma omp critical``: wait until no other thread is in the section with this number, 0 to 15."""
    if number < 0 or number >= NUM_LOCKS:
        raise ValueError("critical sections have the numbers 0 to 15")
    spins = 0
    while not compare_and_swap(team, LOCKS + number * LINE, 0, 1):
        _wait_a_little(team, spins)
        spins += 1


@njit
def critical_exit(team, number=0):
    """The end of a critical section."""
    if number < 0 or number >= NUM_LOCKS:
        raise ValueError("critical sections have the numbers 0 to 15")
    store(team, LOCKS + number * LINE, 0)


@njit
def single(team):
    """``#pragma omp single nowait``: True in the first thread that comes here, False in all others."""
    row = ROWS + thread_num() * LINE + ROW_SINGLES
    count = team[row]
    team[row] = count + 1
    return compare_and_swap(team, SINGLES, count, count + 1)


@njit
def atomic_add(array, index, value):
    """``#pragma omp atomic``: ``array[index] += value`` so that no addition is lost; returns what was there before.

    ``array`` is contiguous, of one dimension, of whole or real numbers.
    """
    if index < 0 or index >= array.size:
        raise IndexError("atomic_add: the index is outside of the array")
    return fetch_add(array, index, value)


@njit
def static_block(num_iterations):
    """``#pragma omp for schedule(static)``: the iterations (start, stop) of this thread, as in :mod:`.schedule`."""
    thread, threads = thread_num(), num_threads()
    quotient, rest = num_iterations // threads, num_iterations % threads
    start = thread * quotient + min(thread, rest)
    return start, start + quotient + (1 if thread < rest else 0)
