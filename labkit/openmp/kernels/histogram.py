"""A histogram of whole numbers: threads that add to the same counters.

A bin above the last or below 0 is an error. Values are read as unsigned numbers, of which a negative one is a very
large one: one comparison finds both, and an index needs no check for Python's negative ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from labkit.errors import UsageError
from labkit.openmp.checks import whole_number
from labkit.openmp.intrinsics import fetch_add, load, store, thread_num
from labkit.openmp.kernels.arrays import plain
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.shared import LINE

MOST_BINS = 2**20
TABLES = 4  # a thread: neighbours that are equal then do not wait for each other
MOST_BINS_OF_TABLES = 1024  # else they would not stay in the L1 cache
INPUT_BINS = 256  # of make_input


@njit(cache=True, nogil=True)
def count_chunk(start, stop, values, counts):
    values = values[start:stop]
    for i in range(values.size):
        counts[values[i]] += 1


@njit(cache=True, nogil=True)
def count_chunk_race(start, stop, values, counts):
    values = values[start:stop]
    for i in range(values.size):
        store(counts, values[i], load(counts, values[i]) + 1)  # between the two another thread may have counted


@njit(cache=True, nogil=True)
def count_chunk_atomic(start, stop, values, counts):
    values = values[start:stop]
    for i in range(values.size):
        fetch_add(counts, values[i], 1)


@njit(cache=True, nogil=True)
def count_chunk_private(start, stop, values, tables):
    count_chunk(start, stop, values, tables[thread_num()])


@njit(cache=True, nogil=True)
def count_chunk_fast(start, stop, values, mask, tables):
    """Tables have ``mask + 1`` bins, a power of 2, and a number that says whether a value needed more.

    Indices are cut to the size of the table: that costs less than a comparison, and nothing is written elsewhere.
    """
    values, mine = values[start:stop], tables[thread_num()]
    first, second, third, fourth = mine[0], mine[1 % len(mine)], mine[2 % len(mine)], mine[3 % len(mine)]
    seen = uint64(0)
    for i in range(values.size // TABLES):
        k = uint64(TABLES * i)
        a, b, c, d = uint64(values[k]), uint64(values[k + 1]), uint64(values[k + 2]), uint64(values[k + 3])
        seen |= (a | b) | (c | d)
        first[a & mask] += 1
        second[b & mask] += 1
        third[c & mask] += 1
        fourth[d & mask] += 1
    for i in range(values.size // TABLES * TABLES, values.size):
        value = uint64(values[i])
        seen |= value
        first[value & mask] += 1
    if seen > mask:
        first[mask + uint64(1)] = 1


def _unsigned(values, num_bins) -> tuple[np.ndarray, int]:
    values = plain("values", values, "of whole numbers")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UsageError(
            f"values is a NumPy array of whole numbers with one dimension, not {values.dtype} of shape {values.shape}: "
            "pass the numbers of the bins; of real numbers ((x - low) / (high - low) * num_bins).astype(np.int64)."
        )
    if not values.flags.c_contiguous or not values.flags.aligned or not values.dtype.isnative:
        raise UsageError("values lies contiguous and aligned in memory, and this one does not: pass values.copy().")
    return values.view(f"u{values.itemsize}"), whole_number("num_bins", num_bins, 1, MOST_BINS)


def _out_of_range(values, num_bins) -> UsageError:
    where = int(np.argmax((values < 0) | (values >= num_bins)))
    return UsageError(f"values are from 0 to num_bins - 1 = {num_bins - 1}, but values[{where}] is {values[where]}: "
                      "leave those out, or pass more bins.")  # fmt: skip


def _checked(values, num_bins) -> tuple[np.ndarray, int]:
    unsigned, num_bins = _unsigned(values, num_bins)
    if unsigned.size and unsigned.max() >= num_bins:
        raise _out_of_range(values, num_bins)
    return unsigned, num_bins


def histogram_serial(team, values, num_bins, *, schedule="static") -> np.ndarray:
    """How often each of 0 to num_bins - 1 occurs, int64 of shape (num_bins,), on one thread."""
    values, num_bins = _checked(values, num_bins)
    counts = np.zeros(num_bins, np.int64)
    count_chunk(0, values.size, values, counts)
    return counts


def _shared_counts(team, kernel, values, num_bins, schedule):
    values, num_bins = _checked(values, num_bins)
    counts = np.zeros(num_bins, np.int64)
    team.parallel_for(kernel, values.size, values, counts, schedule=schedule)
    return counts


def histogram_race(team, values, num_bins, *, schedule="static") -> np.ndarray:
    """All threads count in one table: a count that two read at the same time grows by 1, not by 2."""
    return _shared_counts(team, count_chunk_race, values, num_bins, schedule)


def histogram_atomic(team, values, num_bins, *, schedule="static") -> np.ndarray:
    """All threads count in one table, with additions that cannot be interrupted."""
    return _shared_counts(team, count_chunk_atomic, values, num_bins, schedule)


def _tables(num_threads, num_tables, num_bins) -> np.ndarray:
    """Zeros; each table begins at a cache line of its own, and a line follows its bins."""
    length = -(-num_bins // LINE) * LINE + LINE
    memory = np.zeros(num_threads * num_tables * length + LINE, np.int64)
    skip = -(memory.ctypes.data // 8) % LINE
    return memory[skip : skip + num_threads * num_tables * length].reshape(num_threads, num_tables, length)


def histogram_private(team, values, num_bins, *, schedule="static") -> np.ndarray:
    """A table a thread; they are added at the end."""
    values, num_bins = _checked(values, num_bins)
    tables = _tables(team.num_threads, 1, num_bins)[:, 0]
    team.parallel_for(count_chunk_private, values.size, values, tables, schedule=schedule)
    return tables.sum(axis=0)[:num_bins]


def histogram_fast(team, values, num_bins, *, schedule="static") -> np.ndarray:
    """As :func:`histogram_private`; four tables a thread, and values checked on the way.

    Parameters
    ----------
    values : ndarray of whole numbers, one dimension
        Each from 0 to num_bins - 1.
    num_bins : int
        1 to 2^20.

    Raises
    ------
    UsageError
        A value out of range, or an array of something else.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> histogram_fast(Team(2), np.array([3, 0, 3, 1]), 5)
    array([1, 1, 0, 2, 0])
    """
    unsigned, num_bins = _unsigned(values, num_bins)
    num_slots = 1 << (num_bins - 1).bit_length()
    tables = _tables(team.num_threads, TABLES if num_bins <= MOST_BINS_OF_TABLES else 1, num_slots)
    team.parallel_for(count_chunk_fast, unsigned.size, unsigned, np.uint64(num_slots - 1), tables, schedule=schedule)
    counts = tables.reshape(-1, tables.shape[-1]).sum(axis=0)
    if counts[num_bins:].any():  # above the last bin, or the note that a value was larger still
        raise _out_of_range(values, num_bins)
    return counts[:num_bins]


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` random values for 256 bins."""
    return np.random.default_rng(seed).integers(0, INPUT_BINS, size), INPUT_BINS


LADDERS = (
    Ladder(
        "histogram",
        (
            Version("serial", histogram_serial, True, "One thread."),
            Version("race", histogram_race, False, "Wrong: counts that two threads add to at once are lost."),
            Version("atomic", histogram_atomic, True, "Slow: each count takes a cache line away from the others."),
            Version("private", histogram_private, True, "A table a thread, added at the end."),
            Version("fast", histogram_fast, True, "Four tables a thread: equal neighbours do not wait for each other."),
        ),
        lambda values, num_bins: np.bincount(values, minlength=num_bins), make_input,
        bytes=lambda values, num_bins: values.nbytes, flops=lambda values, num_bins: values.size,
    ),
)  # fmt: skip
