"""Merge sort: the two halves are sorted by tasks, and merged.

Tasks go where there is a free thread, so schedules of loops do not matter here.

References
----------
T. Cormen, C. Leiserson, R. Rivest, C. Stein, "Introduction to Algorithms", 3rd edition, 2009, section 27.3: the
parallel merge.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.openmp.checks import whole_number
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.kernels.sorting import SHORT, insertion_sort, make_input, num_comparisons, sortable
from labkit.openmp.tasks import task, taskwait

CUTOFF = 8192  # elements below which no task is made
MOST_CUTOFF, NEVER = 2**59, 2**62


@njit(cache=True, nogil=True)
def merge(a, b, out):
    """Two sorted arrays into one."""
    i = j = k = 0
    while i < a.size and j < b.size:
        if a[i] <= b[j]:
            out[k] = a[i]
            i += 1
        else:
            out[k] = b[j]
            j += 1
        k += 1
    out[k : k + a.size - i] = a[i:]
    out[k + a.size - i :] = b[j:]


@njit(cache=True, nogil=True)
def merge_task(team, a, b, out, cutoff):
    """The longer array is cut in the middle, the other where that element belongs; the two parts are merged apart."""
    if a.size + b.size <= max(cutoff, 2):
        merge(a, b, out)
        return
    if a.size < b.size:
        a, b = b, a
    cut = a.size // 2
    other = np.searchsorted(b, a[cut])
    task(team, merge_task, (team, a[:cut], b[:other], out[: cut + other], cutoff))
    task(team, merge_task, (team, a[cut:], b[other:], out[cut + other :], cutoff))
    taskwait()


@njit(cache=True, nogil=True)
def sort_half(values, other, into_other):
    """Sort ``values``; the result goes to ``other`` or stays; the array that it is not in is overwritten."""
    if values.size <= SHORT:
        insertion_sort(values)
        if into_other:
            other[:] = values
        return
    half = values.size // 2
    sort_half(values[:half], other[:half], not into_other)
    sort_half(values[half:], other[half:], not into_other)
    if into_other:
        merge(values[:half], values[half:], other)
    else:
        merge(other[:half], other[half:], values)


@njit(cache=True, nogil=True)
def sort_task(team, values, other, into_other, cutoff, merge_cutoff):
    """As :func:`sort_half`, with tasks for halves above ``cutoff`` and for parts of merges above ``merge_cutoff``."""
    if values.size <= max(cutoff, 1):
        sort_half(values, other, into_other)
        return
    half = values.size // 2
    task(team, sort_task, (team, values[:half], other[:half], not into_other, cutoff, merge_cutoff))
    task(team, sort_task, (team, values[half:], other[half:], not into_other, cutoff, merge_cutoff))
    taskwait()
    if into_other:
        merge_task(team, values[:half], values[half:], other, merge_cutoff)
    else:
        merge_task(team, other[:half], other[half:], values, merge_cutoff)


def merge_sort_serial(team, values, *, schedule=None) -> np.ndarray:
    """A sorted copy, on one thread."""
    result = sortable(values).copy()
    sort_half(result, np.empty_like(result), False)
    return result


def _with_tasks(team, values, cutoff, merge_cutoff) -> np.ndarray:
    result = sortable(values).copy()
    team.tasks(sort_task, result, np.empty_like(result), False, cutoff, merge_cutoff)
    return result


def merge_sort_naive(team, values, *, schedule=None) -> np.ndarray:
    """A task for each half, down to single elements."""
    return _with_tasks(team, values, 1, NEVER)


def merge_sort_cutoff(team, values, *, schedule=None, cutoff=CUTOFF) -> np.ndarray:
    """Tasks for halves of more than ``cutoff`` elements; one thread merges the last two halves."""
    return _with_tasks(team, values, whole_number("cutoff", cutoff, 1, MOST_CUTOFF), NEVER)


def merge_sort_fast(team, values, *, schedule=None, cutoff=CUTOFF) -> np.ndarray:
    """As :func:`merge_sort_cutoff`, and large halves are merged by all threads.

    Parameters
    ----------
    values : ndarray of float64 or int64, shape (n,)
        Without NaN. It is not changed.
    cutoff : int
        1 or more.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> merge_sort_fast(Team(2), np.array([3, 1, 2]))
    array([1, 2, 3])
    """
    cutoff = whole_number("cutoff", cutoff, 1, MOST_CUTOFF)
    return _with_tasks(team, values, cutoff, 4 * cutoff)


LADDERS = (
    Ladder(
        "merge_sort",
        (
            Version("serial", merge_sort_serial, True, "One thread."),
            Version("naive", merge_sort_naive, True, "Slow: a task for a single element costs more than to sort it."),
            Version("cutoff", merge_sort_cutoff, True, "Small halves at once; but the last merge is on one thread."),
            Version("fast", merge_sort_fast, True, "Merges are cut into tasks, too."),
        ),
        np.sort, make_input, bytes=lambda values: 16 * values.size, flops=num_comparisons,
    ),
)  # fmt: skip
