"""Blocked Cholesky factorisation as a graph of tasks: ``a = l @ l.T``, with l lower triangular.

The matrix is cut into blocks, and every step works on whole blocks (see :mod:`.cholesky_plan`). A task begins when the
blocks that it reads and writes are ready, so tasks of several steps run at the same time.

References
----------
A. Buttari, J. Langou, J. Kurzak, J. Dongarra, "A class of parallel tiled linear algebra algorithms for multicore
architectures", Parallel Computing 35, 2009.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.checks import whole_number
from labkit.openmp.intrinsics import compare_and_swap, load
from labkit.openmp.kernels.arrays import matrix
from labkit.openmp.kernels.cholesky_plan import FACTOR, KINDS, MOST_BLOCKS, SOLVE, cholesky_plan
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.shared import LINE
from labkit.openmp.tasks import task, task_depend, taskwait

BLOCK = 64  # 32 KiB; three of them fit into the L2 cache
ANY_ORDER = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, fastmath=ANY_ORDER)
def dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True)
def span(block, size, n):
    """The rows of a block."""
    return block * size, min((block + 1) * size, n)


@njit(cache=True, nogil=True)
def factor_block(a, size, k, failed):
    """The diagonal block k becomes its own Cholesky factor; ``failed[0]`` notes the row, from 1, that has none."""
    first, last = span(k, size, len(a))
    for i in range(first, last):
        if load(failed, 0) != 0:
            return
        for j in range(first, i):
            a[i, j] = (a[i, j] - dot(a[i, first:j], a[j, first:j])) / a[j, j]
        pivot = a[i, i] - dot(a[i, first:i], a[i, first:i])
        if not 0.0 < pivot < np.inf:
            compare_and_swap(failed, 0, 0, i + 1)
            return
        a[i, i] = np.sqrt(pivot)


@njit(cache=True, nogil=True)
def solve_block(a, size, i, k, failed):
    """Block (i, k) times the inverse of the transposed factor of block (k, k)."""
    if load(failed, 0) != 0:
        return
    (first, last), (begin, end) = span(i, size, len(a)), span(k, size, len(a))
    for row in range(first, last):
        for j in range(begin, end):
            a[row, j] = (a[row, j] - dot(a[row, begin:j], a[j, begin:j])) / a[j, j]


@njit(cache=True, nogil=True)
def update_block(a, size, i, j, k, failed):
    """Block (i, j) minus block (i, k) times block (j, k) transposed; of a diagonal block the lower half."""
    if load(failed, 0) != 0:
        return
    (first, last), (begin, end), (left, right) = span(i, size, len(a)), span(j, size, len(a)), span(k, size, len(a))
    for row in range(first, last):
        x = a[row, left:right]
        for column in range(begin, min(end, row + 1)):
            a[row, column] -= dot(x, a[column, left:right])


@njit(cache=True, nogil=True)
def with_graph(team, codes, a, size, blocks, failed):
    """Tasks in the order of the plan, each with the blocks that it reads and writes; blocks stand as numbers."""
    n = -(-len(a) // size)
    for kind, i, j, k in codes:
        if kind == FACTOR:
            task_depend(team, factor_block, (a, size, k, failed), blocks, (k * n + k,), ())
        elif kind == SOLVE:
            task_depend(team, solve_block, (a, size, i, k, failed), blocks, (i * n + k,), (k * n + k,))
        else:
            task_depend(
                team, update_block, (a, size, i, j, k, failed), blocks, (i * n + j,), (i * n + k, j * n + k)
            )


@njit(cache=True, nogil=True)
def with_waits(team, codes, a, size, failed, waits):
    """Tasks in the order of the plan; with ``waits``, all of one kind end before those of the next are made."""
    last_kind = FACTOR
    for kind, i, j, k in codes:
        if waits and kind != last_kind:
            taskwait()
        last_kind = kind
        if kind == FACTOR:
            task(team, factor_block, (a, size, k, failed))
        elif kind == SOLVE:
            task(team, solve_block, (a, size, i, k, failed))
        else:
            task(team, update_block, (a, size, i, j, k, failed))


@functools.lru_cache(maxsize=4)
def plan_codes(num_blocks: int) -> np.ndarray:
    """The plan as compiled code reads it, int64 of shape (num_tasks, 4): kind, i, j, k."""
    rows = [(KINDS.index(step.kind), *step.writes, step.k) for step in cholesky_plan(num_blocks)]
    return np.array(rows, np.int64).reshape(-1, 4)


def _prepared(a, block_size):
    """A copy of the lower triangle, the size of blocks, their number, and where a failure is noted."""
    a = matrix("a", a)
    if a.shape[0] != a.shape[1]:
        raise UsageError(f"a is square, but its shape is {a.shape}: pass a symmetric matrix.")
    block_size = whole_number("block_size", block_size, 1)
    num_blocks = -(-len(a) // block_size)
    if num_blocks > MOST_BLOCKS:
        raise UsageError(
            f"block_size={block_size} cuts {len(a)} rows into {num_blocks} blocks, more than {MOST_BLOCKS}: "
            f"pass a block_size of at least {-(-len(a) // MOST_BLOCKS)}."
        )
    return np.tril(a), block_size, num_blocks, np.zeros(LINE, np.int64)


def _factor(lower, failed) -> np.ndarray:
    if failed[0]:
        raise UsageError(f"a is not positive definite: the first {failed[0]} rows and columns have no Cholesky factor "
                         "with a positive diagonal: pass a symmetric matrix with eigenvalues above 0.")  # fmt: skip
    return lower


def cholesky_serial(team, a, block_size=BLOCK, *, schedule=None) -> np.ndarray:
    """The lower triangular factor, on one thread, as one block."""
    lower, _, _, failed = _prepared(a, block_size)
    factor_block(lower, max(len(lower), 1), 0, failed)
    return _factor(lower, failed)


def cholesky_unordered(team, a, block_size=BLOCK, *, schedule=None) -> np.ndarray:
    """A task a step, without a word about order: tasks read blocks that are not ready."""
    lower, size, num_blocks, failed = _prepared(a, block_size)
    team.tasks(with_waits, plan_codes(num_blocks), lower, size, failed, False)
    return lower


def cholesky_phases(team, a, block_size=BLOCK, *, schedule=None) -> np.ndarray:
    """All tasks of one kind, then those of the next: at each end threads wait for the last."""
    lower, size, num_blocks, failed = _prepared(a, block_size)
    team.tasks(with_waits, plan_codes(num_blocks), lower, size, failed, True)
    return _factor(lower, failed)


def cholesky_graph(team, a, block_size=BLOCK, *, schedule=None) -> np.ndarray:
    """Each task begins when the blocks that it needs are ready. The same bits for any number of threads.

    Parameters
    ----------
    a : ndarray of float64, shape (n, n)
        Symmetric and positive definite; its lower triangle is read. It is not changed.
    block_size : int
        Rows of a block; at most 128 blocks a row.

    Returns
    -------
    ndarray of float64, shape (n, n)
        Lower triangular, with zeros above.

    Raises
    ------
    UsageError
        Not positive definite, or sizes that do not fit.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> cholesky_graph(Team(2), np.array([[4.0, 2.0], [2.0, 10.0]]), 1)
    array([[2., 0.],
           [1., 3.]])
    """
    lower, size, num_blocks, failed = _prepared(a, block_size)
    blocks = np.zeros(max(num_blocks, 1) ** 2, np.int64)
    team.tasks(with_graph, plan_codes(num_blocks), lower, size, blocks, failed)
    return _factor(lower, failed)


def make_input(size: int, seed: int = 0) -> tuple:
    """A symmetric matrix with ``size`` rows and eigenvalues from ``size`` on, and a block size for 8 blocks or more."""
    b = np.random.default_rng(seed).standard_normal((size, size))
    return b @ b.T + size * np.eye(size), min(BLOCK, max(size // 8, 1))


LADDERS = (
    Ladder(
        "cholesky",
        (
            Version("serial", cholesky_serial, True, "One thread; goes through all of the matrix for each row."),
            Version("unordered", cholesky_unordered, False, "Wrong: tasks read blocks that others have not finished."),
            Version("phases", cholesky_phases, True, "Slow: threads wait at the end of every phase."),
            Version("graph", cholesky_graph, True, "Tasks of several steps at once, as far as the blocks are ready."),
        ),
        lambda a, block_size=BLOCK: np.linalg.cholesky(a), make_input,
        bytes=lambda a, block_size=BLOCK: 16 * a.size, flops=lambda a, block_size=BLOCK: len(a) ** 3 / 3,
        tolerance=1e-11,
    ),
)  # fmt: skip
