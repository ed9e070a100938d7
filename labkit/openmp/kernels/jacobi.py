"""Jacobi's method for the Laplace equation on a 2-D grid: each point becomes the mean of its four neighbours.

The points at the edge are fixed. A sweep reads one grid and writes another, so its points can be computed in any
order, and the result has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.openmp.checks import whole_number
from labkit.openmp.kernels.arrays import matrix, output
from labkit.openmp.kernels.ladder import Ladder, Version

SWEEPS = 4  # of make_input


@njit(cache=True, nogil=True)
def relax_columns(start, stop, grid, new):
    """Inner columns start + 1 to stop, one after the other."""
    for j in range(start + 1, stop + 1):
        for i in range(1, grid.shape[0] - 1):
            new[i, j] = 0.25 * ((grid[i - 1, j] + grid[i + 1, j]) + (grid[i, j - 1] + grid[i, j + 1]))


@njit(cache=True, nogil=True)
def relax_rows(start, stop, grid, new):
    """Inner rows start + 1 to stop; each row and its neighbours are sliced out, which the compiler makes vectors of."""
    for i in range(start + 1, stop + 1):
        above, below = grid[i - 1, 1:-1], grid[i + 1, 1:-1]
        left, right, middle = grid[i, :-2], grid[i, 2:], new[i, 1:-1]
        for j in range(middle.size):
            middle[j] = 0.25 * ((above[j] + below[j]) + (left[j] + right[j]))


def _checked(grid, num_sweeps, out, work):
    grid = matrix("grid", grid)
    num_sweeps = whole_number("num_sweeps", num_sweeps, 0)
    out = output(out, grid.shape, np.float64, grid)
    if work is None and num_sweeps > 1:
        work = np.empty_like(grid)
    elif work is not None:
        work = output(work, grid.shape, np.float64, grid, out)
    return grid, num_sweeps, out, work


def _sweeps(relax, grid, num_sweeps, out, work) -> np.ndarray:
    """``relax(inner rows, old, new)`` again and again; the grids change places so that the last goes to ``out``."""
    if num_sweeps == 0 or min(grid.shape) < 3:
        out[:] = grid
        return out
    new, other = (out, work) if num_sweeps % 2 else (work, out)
    for written in (out, work)[: min(num_sweeps, 2)]:
        written[0], written[-1], written[:, 0], written[:, -1] = grid[0], grid[-1], grid[:, 0], grid[:, -1]
    old = grid  # only read
    for _ in range(num_sweeps):
        relax(grid.shape[0] - 2, old, new)
        old, new, other = new, other, new
    return out


def jacobi_serial(team, grid, num_sweeps, *, out=None, work=None, schedule="static") -> np.ndarray:
    """The grid after ``num_sweeps`` sweeps, on one thread."""
    return _sweeps(lambda rows, *grids: relax_rows(0, rows, *grids), *_checked(grid, num_sweeps, out, work))


def jacobi_in_place(team, grid, num_sweeps, *, out=None, work=None, schedule="static") -> np.ndarray:
    """One grid, which all threads read and write: points see old values of some neighbours and new ones of others."""
    grid, num_sweeps, new, _ = _checked(grid, num_sweeps, out, work)
    new[:] = grid
    for _ in range(num_sweeps if min(grid.shape) > 2 else 0):
        team.parallel_for(relax_rows, grid.shape[0] - 2, new, new, schedule=schedule)
    return new


def jacobi_columns(team, grid, num_sweeps, *, out=None, work=None, schedule="static") -> np.ndarray:
    """One grid is read, the other written, and all threads end a sweep before the next begins; column by column."""
    return _sweeps(
        lambda rows, old, new: team.parallel_for(relax_columns, old.shape[1] - 2, old, new, schedule=schedule),
        *_checked(grid, num_sweeps, out, work),
    )


def jacobi_fast(team, grid, num_sweeps, *, out=None, work=None, schedule="static") -> np.ndarray:
    """As :func:`jacobi_columns`, but row by row, as the grid lies in memory, in vectors.

    Parameters
    ----------
    grid : ndarray of float64, shape (rows, columns)
        Its edge is fixed. It is not changed.
    num_sweeps : int
        0 or more.
    out, work : ndarray of float64, optional
        Where the result goes, and a grid to work with: given ones are in memory already, new ones must be got first.
    schedule : str
        Of the inner rows.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> jacobi_fast(Team(2), np.array([[4.0, 4, 4], [0, 9, 0], [0, 0, 0]]), 1)[1, 1]
    np.float64(1.0)
    """
    return _sweeps(
        lambda rows, *grids: team.parallel_for(relax_rows, rows, *grids, schedule=schedule),
        *_checked(grid, num_sweeps, out, work),
    )


def make_input(size: int, seed: int = 0) -> tuple:
    """A random square grid with ``size`` rows, and 4 sweeps."""
    return np.random.default_rng(seed).random((size, size)), SWEEPS


def oracle(grid, num_sweeps) -> np.ndarray:
    """Whole arrays in NumPy, with the additions in the same order: the same bits."""
    grid = grid.copy()
    for _ in range(num_sweeps):
        if min(grid.shape) > 2:
            grid[1:-1, 1:-1] = 0.25 * ((grid[:-2, 1:-1] + grid[2:, 1:-1]) + (grid[1:-1, :-2] + grid[1:-1, 2:]))
    return grid


def num_inner(grid) -> int:
    """Points that are computed in a sweep."""
    return max(grid.shape[0] - 2, 0) * max(grid.shape[1] - 2, 0)


LADDERS = (
    Ladder(
        "jacobi",
        (
            Version("serial", jacobi_serial, True, "One thread."),
            Version("in_place", jacobi_in_place, False, "Wrong, even on one thread: reads what this sweep wrote."),
            Version("columns", jacobi_columns, True, "Two grids. Slow: down the columns; a cache line a point."),
            Version("fast", jacobi_fast, True, "Two grids, row by row, in vectors."),
        ),
        oracle, make_input,
        bytes=lambda grid, num_sweeps: 16 * num_inner(grid) * num_sweeps,  # each point is read once and written once
        flops=lambda grid, num_sweeps: 4 * num_inner(grid) * num_sweeps,
    ),
)  # fmt: skip
