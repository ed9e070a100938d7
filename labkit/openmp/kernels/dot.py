"""The dot product: a sum that all threads contribute to."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from labkit.openmp.intrinsics import fetch_add, load, store
from labkit.openmp.kernels.arrays import vector
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.shared import LINE

ANY_ORDER = {"reassoc", "nsz", "contract"}  # additions in any order, so that several are under way at once


@njit(cache=True, nogil=True)
def dot_chunk(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True, fastmath=ANY_ORDER)
def dot_chunk_vector(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True)
def dot_chunk_race(start, stop, x, y, total):
    for i in range(start, stop):
        store(total, 0, load(total, 0) + x[i] * y[i])  # between the two another thread may have written


@njit(cache=True, nogil=True)
def dot_chunk_atomic(start, stop, x, y, total):
    for i in range(start, stop):
        fetch_add(total, 0, x[i] * y[i])


def _vectors(x, y):
    x = vector("x", x)
    return x, vector("y", y, x.size)


def dot_serial(team, x, y, *, schedule="static") -> float:
    """The sum of ``x[i] * y[i]``, from left to right."""
    x, y = _vectors(x, y)
    return dot_chunk(0, x.size, x, y)


def dot_race(team, x, y, *, schedule="static") -> float:
    """All threads add to one number, and overwrite each other's sums."""
    x, y = _vectors(x, y)
    total = np.zeros(LINE)
    team.parallel_for(dot_chunk_race, x.size, x, y, total, schedule=schedule)
    return float(total[0])


def dot_atomic(team, x, y, *, schedule="static") -> float:
    """All threads add to one number, one at a time."""
    x, y = _vectors(x, y)
    total = np.zeros(LINE)
    team.parallel_for(dot_chunk_atomic, x.size, x, y, total, schedule=schedule)
    return float(total[0])


def dot_reduction(team, x, y, *, schedule="static") -> float:
    """Each thread has a sum of its own; they are added at the end."""
    x, y = _vectors(x, y)
    return float(team.parallel_for(dot_chunk, x.size, x, y, schedule=schedule, reduction="+"))


def dot_fast(team, x, y, *, schedule="static") -> float:
    """As :func:`dot_reduction`, with the sums of a thread in vectors.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> dot_fast(Team(2), np.arange(4.0), np.ones(4))
    6.0
    """
    x, y = _vectors(x, y)
    return float(team.parallel_for(dot_chunk_vector, x.size, x, y, schedule=schedule, reduction="+"))


def make_input(size: int, seed: int = 0) -> tuple:
    """Two vectors of ``size`` positive elements, so that the sum is as large as its terms."""
    rng = np.random.default_rng(seed)
    return rng.random(size), rng.random(size)


def oracle(x, y) -> float:
    """Products rounded once, their sum rounded once."""
    return math.fsum(x * y)


LADDERS = (
    Ladder(
        "dot",
        (
            Version("serial", dot_serial, True, "One thread; each addition waits for the one before."),
            Version("race", dot_race, False, "Wrong: threads overwrite each other's sums."),
            Version("atomic", dot_atomic, True, "Slow: threads queue up for one number at every addition."),
            Version("reduction", dot_reduction, True, "A sum a thread; still one addition at a time in each."),
            Version("fast", dot_fast, True, "Additions in any order: several sums a thread, in vectors."),
        ),
        oracle, make_input, bytes=lambda x, y: 16 * x.size, flops=lambda x, y: 2 * x.size, tolerance=1e-12,
    ),
)  # fmt: skip
