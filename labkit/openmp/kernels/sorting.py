"""What sorting by merging and by partitioning have in common: short pieces, and which arrays can be sorted."""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.kernels.arrays import vector

SHORT = 24  # elements up to which insertion is faster than anything else


@njit(cache=True, nogil=True)
def insertion_sort(values):
    for i in range(1, values.size):
        value = values[i]
        k = i
        while k > 0 and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value


def sortable(values) -> np.ndarray:
    """A vector of float64 or int64 without NaN, which is neither before nor after other numbers."""
    dtype = getattr(values, "dtype", None)
    if dtype not in (np.float64, np.int64):
        raise UsageError(
            f"values is a NumPy array of float64 or int64, not {dtype or type(values).__name__}: pass such an array."
        )
    values = vector("values", values, dtype=dtype)
    if values.size and np.isnan(values.min()):
        where = int(np.argmax(np.isnan(values)))
        raise UsageError(f"values[{where}] is NaN, which has no place in an order: leave NaN out.")
    return values


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` random numbers."""
    return (np.random.default_rng(seed).random(size),)


def num_comparisons(values) -> float:
    """About how many a sort by comparison needs: n log2(n)."""
    return values.size * np.log2(max(values.size, 1))
