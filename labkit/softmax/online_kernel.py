"""The loop of online softmax. Importing this module imports Numba."""

from __future__ import annotations

import math

import numpy as np

from labkit.softmax.compiled import kernel


@kernel()
def online_rows(x, out):
    """Algorithm 3 of the paper, for every row."""
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        m, d = row[0], 1.0  # d in float64: a million additions in float32 would lose three digits
        if m == -np.inf:
            d = 0.0
        for k in range(1, row.size):
            value = row[k]
            if value <= m:
                if value != -np.inf:
                    d += math.exp(value - m)
            else:  # a new maximum, or a NaN
                d = d * math.exp(m - value) + 1 if d > 0 else (1.0 if d == 0 and value == value else d + value)
                m = value
        if m == np.inf:
            d = np.nan
        for k in range(row.size):
            to[k] = math.exp(row[k] - m) / d
