"""The loop of online softmax. Importing this module imports Numba."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def online_rows(x, out):
    """Algorithm 3 of the paper, for every row."""
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        zero = row.dtype.type(0)
        one = row.dtype.type(1)
        m, d = row[0], one
        if m == -np.inf:
            d = zero
        for k in range(1, row.size):
            value = row[k]
            if value <= m:
                if value != -np.inf:
                    d += math.exp(value - m)
            else:  # a new maximum, or a NaN
                d = d * math.exp(m - value) + one if d > zero else (one if d == zero and value == value else d + value)
                m = value
        if m == np.inf:
            d = m - m  # NaN
        for k in range(row.size):
            to[k] = math.exp(row[k] - m) / d
