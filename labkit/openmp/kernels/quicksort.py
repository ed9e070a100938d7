"""Quicksort: the array is parted around one of its elements, and the two sides are sorted by tasks.

References
----------
C. Hoare, "Quicksort", The Computer Journal 5(1), 1962.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from labkit.openmp.checks import whole_number
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.kernels.sorting import SHORT, insertion_sort, make_input, num_comparisons, sortable
from labkit.openmp.tasks import task

CUTOFF = 8192  # elements below which no task is made


@njit(cache=True, nogil=True)
def partition(values, random):
    """Part around the median of three random elements; returns how many come first, 1 to size - 1.

    Those are at most as large as the rest. Random choices: no order that inputs often have makes them bad.
    """
    samples = np.empty(3, values.dtype)
    for k in range(3):
        random = random * uint64(6364136223846793005) + uint64(1442695040888963407)
        samples[k] = values[np.int64((random >> uint64(33)) % uint64(values.size))]
    a, b, c = samples
    pivot = max(min(a, b), min(max(a, b), c))
    i, j = 0, values.size - 1
    while True:
        while values[i] < pivot:
            i += 1
        while values[j] > pivot:
            j -= 1
        if i >= j:
            break
        values[i], values[j] = values[j], values[i]  # equal ones, too, which keeps the sides balanced
        i += 1
        j -= 1
    return min(max(j + 1, 1), values.size - 1)


@njit(cache=True, nogil=True)
def sort_side(values):
    """The smaller side by a call, the larger by going on: calls are at most log2(n) deep."""
    while values.size > SHORT:
        cut = partition(values, uint64(values.size))
        if 2 * cut < values.size:
            sort_side(values[:cut])
            values = values[cut:]
        else:
            sort_side(values[cut:])
            values = values[:cut]
    insertion_sort(values)


@njit(cache=True, nogil=True)
def sort_task(team, values, cutoff):
    """The smaller side is a task; nobody waits for it but the end of the region."""
    while values.size > max(cutoff, 1):
        cut = partition(values, uint64(values.size))
        if 2 * cut < values.size:
            task(team, sort_task, (team, values[:cut], cutoff))
            values = values[cut:]
        else:
            task(team, sort_task, (team, values[cut:], cutoff))
            values = values[:cut]
    sort_side(values)


def quicksort_serial(team, values, *, schedule=None) -> np.ndarray:
    """A sorted copy, on one thread."""
    result = sortable(values).copy()
    sort_side(result)
    return result


def quicksort_naive(team, values, *, schedule=None) -> np.ndarray:
    """A task for each side, down to single elements."""
    return quicksort_fast(team, values, cutoff=1)


def quicksort_fast(team, values, *, schedule=None, cutoff=CUTOFF) -> np.ndarray:
    """Tasks for sides of more than ``cutoff`` elements. The first partition is on one thread, and bounds the speed-up.

    Parameters
    ----------
    values : ndarray of float64 or int64, shape (n,)
        Without NaN. It is not changed.
    cutoff : int
        1 or more.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> quicksort_fast(Team(2), np.array([3, 1, 2]))
    array([1, 2, 3])
    """
    result = sortable(values).copy()
    team.tasks(sort_task, result, whole_number("cutoff", cutoff, 1))
    return result


LADDERS = (
    Ladder(
        "quicksort",
        (
            Version("serial", quicksort_serial, True, "One thread."),
            Version("naive", quicksort_naive, True, "Slow: a task for a single element costs more than to sort it."),
            Version("fast", quicksort_fast, True, "Small sides at once. The first partition is on one thread."),
        ),
        np.sort, make_input, bytes=lambda values: 16 * values.size, flops=num_comparisons,
    ),
)  # fmt: skip
