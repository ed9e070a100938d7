"""The product of two matrices: the same operations in an order that finds its data in the cache.

References
----------
M. Lam, E. Rothberg, M. Wolf, "The cache performance and optimizations of blocked algorithms", ASPLOS 1991.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.openmp.kernels.arrays import matrix, output
from labkit.openmp.kernels.ladder import Ladder, Version

BLOCK_ROWS, BLOCK_INNER, BLOCK_COLUMNS = 32, 32, 512  # 32 x 512 elements of b are 128 KiB: they stay in the L2 cache
STEPS = 4  # rows of b that one pass over a row of c takes in
FUSED = {"contract"}  # a multiplication and an addition in one instruction


@njit(cache=True, nogil=True, fastmath=FUSED)
def product_rows_dot(start, stop, a, b, c):
    for i in range(start, stop):
        for j in range(c.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]  # down a column of b: a cache line for every element
            c[i, j] = total


@njit(cache=True, nogil=True, fastmath=FUSED)
def product_rows(start, stop, a, b, c):
    for i in range(start, stop):
        row = c[i]
        row[:] = 0.0
        for k in range(a.shape[1]):
            factor, b_row = a[i, k], b[k]
            for j in range(row.size):
                row[j] += factor * b_row[j]


@njit(cache=True, nogil=True, fastmath=FUSED)
def product_blocks(start, stop, a, b, c):
    """Blocks of BLOCK_ROWS rows of c, numbers start to stop - 1."""
    rows, inner, columns = a.shape[0], a.shape[1], b.shape[1]
    for block in range(start, stop):
        first, last = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
        c[first:last] = 0.0
        for j0 in range(0, columns, BLOCK_COLUMNS):
            j1 = min(j0 + BLOCK_COLUMNS, columns)
            for k0 in range(0, inner, BLOCK_INNER):
                k1 = min(k0 + BLOCK_INNER, inner)
                whole = k0 + (k1 - k0) // STEPS * STEPS
                for i in range(first, last):
                    row = c[i, j0:j1]
                    for k in range(k0, whole, STEPS):
                        a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                        b0, b1, b2, b3 = b[k, j0:j1], b[k + 1, j0:j1], b[k + 2, j0:j1], b[k + 3, j0:j1]
                        for j in range(row.size):
                            row[j] += a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
                    for k in range(whole, k1):
                        factor, b_row = a[i, k], b[k, j0:j1]
                        for j in range(row.size):
                            row[j] += factor * b_row[j]


def _matrices(a, b, out):
    a = matrix("a", a)
    b = matrix("b", b, (a.shape[1], b.shape[1]) if getattr(b, "ndim", 0) == 2 else None)
    return a, b, output(out, (a.shape[0], b.shape[1]), np.float64, a, b)


def matrix_product_serial(team, a, b, *, out=None, schedule="static") -> np.ndarray:
    """``a @ b`` as it is defined: element by element a row times a column."""
    a, b, c = _matrices(a, b, out)
    product_rows_dot(0, a.shape[0], a, b, c)
    return c


def matrix_product_naive(team, a, b, *, out=None, schedule="static") -> np.ndarray:
    """The serial loops, with the rows of the result shared out."""
    a, b, c = _matrices(a, b, out)
    team.parallel_for(product_rows_dot, a.shape[0], a, b, c, schedule=schedule)
    return c


def matrix_product_rows(team, a, b, *, out=None, schedule="static") -> np.ndarray:
    """Inner loops exchanged: row i of the result is a sum of rows of ``b``."""
    a, b, c = _matrices(a, b, out)
    team.parallel_for(product_rows, a.shape[0], a, b, c, schedule=schedule)
    return c


def matrix_product_blocked(team, a, b, *, out=None, schedule="static") -> np.ndarray:
    """Loops cut into blocks, so that a block of ``b`` serves many rows while it is in the cache.

    Parameters
    ----------
    a, b : ndarray of float64, shapes (m, k) and (k, n)
    out : ndarray of float64, shape (m, n), optional
        Where the result goes.
    schedule : str
        Of blocks of 32 rows.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> matrix_product_blocked(Team(2), np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    a, b, c = _matrices(a, b, out)
    team.parallel_for(product_blocks, -(-a.shape[0] // BLOCK_ROWS), a, b, c, schedule=schedule)
    return c


def make_input(size: int, seed: int = 0) -> tuple:
    """Two square matrices with ``size`` rows."""
    rng = np.random.default_rng(seed)
    return rng.random((size, size)), rng.random((size, size))


LADDERS = (
    Ladder(
        "matrix_product",
        (
            Version("serial", matrix_product_serial, True, "One thread; goes down the columns of b."),
            Version("naive", matrix_product_naive, True, "Slow: down the columns of b; a cache line for each element."),
            Version("rows", matrix_product_rows, True, "Along rows only, in vectors; reads all of b for each row."),
            Version("blocked", matrix_product_blocked, True, "A block of b in the cache serves many rows."),
        ),
        np.matmul, make_input,
        bytes=lambda a, b: 8 * (a.size + b.size + a.shape[0] * b.shape[1]),
        flops=lambda a, b: 2 * a.shape[0] * a.shape[1] * b.shape[1], tolerance=1e-12,
    ),
)  # fmt: skip
