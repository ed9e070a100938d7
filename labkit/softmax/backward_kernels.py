"""The gradient of softmax by rows, as compiled code for the threads of :mod:`.threaded`.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np

from labkit.softmax.compiled import kernel
from labkit.softmax.processor import part, row

SUM_BLOCK = 512  # elements of a sum of products that are added in one go


@kernel()
def dot(a, b):
    total = 0.0
    for start in range(0, a.size, SUM_BLOCK):
        total += block_dot(part(a, start, SUM_BLOCK), part(b, start, SUM_BLOCK))
    return total


@kernel(fastmath={"reassoc", "contract"})
def block_dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@kernel()
def backward_row(y, gradient, mean, out):
    for i in range(y.size):
        out[i] = y[i] * (gradient[i] - mean)


@kernel()
def backward_rows(start, stop, y, gradient, out):
    """``y * (gradient - sum(y * gradient))`` for rows start to stop - 1."""
    for i in range(start, stop):
        p, g = row(y, i), row(gradient, i)
        backward_row(p, g, y.dtype.type(dot(p, g)), row(out, i))
