"""A sparse matrix times a vector: rows of very different lengths.

References
----------
D. Merrill, M. Garland, "Merge-based parallel sparse matrix-vector multiplication", SC 2016: shares of equal size
that begin and end inside of rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.checks import whole_number
from labkit.openmp.intrinsics import load, store
from labkit.openmp.kernels.arrays import output, vector
from labkit.openmp.kernels.ladder import Ladder, Version

PART = 4096  # entries that the fast version takes at a time
ANY_ORDER = {"reassoc", "nsz", "contract"}


class SparseMatrix:
    """A matrix in compressed rows (CSR), checked once.

    Parameters
    ----------
    row_starts : ndarray of int64, shape (num_rows + 1,)
        Row i has the entries ``row_starts[i]`` to ``row_starts[i + 1] - 1``.
    columns : ndarray of int64, shape (num_entries,)
        Column of each entry; entries with the same place add up.
    values : ndarray of float64, shape (num_entries,)
    num_columns : int

    Notes
    -----
    The matrix keeps copies of its structure that cannot be written to, so that no later call need check them.
    """

    def __init__(self, row_starts, columns, values, num_columns: int):
        row_starts = vector("row_starts", row_starts, dtype=np.int64)
        columns = vector("columns", columns, dtype=np.int64)
        self.num_columns = whole_number("num_columns", num_columns, 0)
        self.values = vector("values", values, columns.size)
        ends = row_starts[[0, -1]].tolist() if row_starts.size else None
        if ends != [0, columns.size] or (np.diff(row_starts) < 0).any():
            raise UsageError(
                f"row_starts begins with 0, does not fall, and ends with the number of entries, {columns.size}: "
                "see numpy.cumsum of the rows' lengths."
            )
        wrong = (columns < 0) | (columns >= self.num_columns)
        if wrong.any():
            where = int(np.argmax(wrong))
            raise UsageError(f"columns are from 0 to num_columns - 1 = {num_columns - 1}, but columns[{where}] is "
                             f"{columns[where]}: correct it.")  # fmt: skip
        self.row_starts, self.columns = row_starts.astype(np.uint64), columns.astype(np.uint64)
        self.row_starts.flags.writeable = self.columns.flags.writeable = False

    @property
    def num_rows(self) -> int:
        return self.row_starts.size - 1

    @property
    def num_entries(self) -> int:
        return self.columns.size

    def __repr__(self) -> str:
        return f"SparseMatrix({self.num_rows} x {self.num_columns}, {self.num_entries} entries)"


@njit(cache=True, nogil=True)
def row_sum(columns, values, x):
    total = 0.0
    for k in range(values.size):
        total += values[k] * x[columns[k]]
    return total


@njit(cache=True, nogil=True, fastmath=ANY_ORDER)
def row_sum_vector(columns, values, x):
    total = 0.0
    for k in range(values.size):
        total += values[k] * x[columns[k]]
    return total


@njit(cache=True, nogil=True)
def multiply_rows(start, stop, row_starts, columns, values, x, y):
    for i in range(start, stop):
        begin, end = row_starts[i], row_starts[i + 1]
        y[i] = row_sum(columns[begin:end], values[begin:end], x)


@njit(cache=True, nogil=True)
def row_of(entry, row_starts):
    """The row that an entry belongs to."""
    return np.searchsorted(row_starts, np.uint64(entry), side="right") - 1


@njit(cache=True, nogil=True)
def multiply_entries_race(start, stop, row_starts, columns, values, x, y):
    row = row_of(start, row_starts)
    for k in range(start, stop):
        while row_starts[row + 1] <= k:
            row += 1
        store(y, row, load(y, row) + values[k] * x[columns[k]])  # another thread may be in the same row


@njit(cache=True, nogil=True)
def multiply_parts(start, stop, row_starts, columns, values, x, y, head_rows, heads):
    """Parts of PART entries. What belongs to a row that began in an earlier part is noted, to be added later."""
    for part in range(start, stop):
        entry, last = part * PART, min((part + 1) * PART, values.size)
        row = row_of(entry, row_starts)
        head_rows[part], heads[part] = row, 0.0
        while entry < last:
            end = min(np.int64(row_starts[row + 1]), last)
            total = row_sum_vector(columns[entry:end], values[entry:end], x)
            if row_starts[row] < entry:
                heads[part] = total
            elif end > entry:
                y[row] = total
            entry = end
            row += 1


def _checked(matrix, x, out):
    if not isinstance(matrix, SparseMatrix):
        raise UsageError(f"matrix is a SparseMatrix, not {type(matrix).__name__}: pass SparseMatrix(row_starts, ...).")
    x = vector("x", x, matrix.num_columns)
    y = output(out, (matrix.num_rows,), np.float64, x, matrix.values)
    return matrix.row_starts, matrix.columns, matrix.values, x, y


def sparse_matrix_vector_serial(team, matrix, x, *, out=None, schedule="static") -> np.ndarray:
    """``matrix @ x``, on one thread."""
    given = _checked(matrix, x, out)
    multiply_rows(0, matrix.num_rows, *given)
    return given[-1]


def sparse_matrix_vector_race(team, matrix, x, *, out=None, schedule="static,16") -> np.ndarray:
    """Entries shared out, so that long rows are shared; all threads in a row add to the same element."""
    given = _checked(matrix, x, out)
    given[-1][:] = 0
    team.parallel_for(multiply_entries_race, matrix.num_entries, *given, schedule=schedule)
    return given[-1]


def sparse_matrix_vector_static(team, matrix, x, *, out=None, schedule="static") -> np.ndarray:
    """As many rows to each thread."""
    given = _checked(matrix, x, out)
    team.parallel_for(multiply_rows, matrix.num_rows, *given, schedule=schedule)
    return given[-1]


def sparse_matrix_vector_dynamic(team, matrix, x, *, out=None, schedule="dynamic,16") -> np.ndarray:
    """The next rows go to whoever is free; a very long row still keeps one thread busy alone."""
    return sparse_matrix_vector_static(team, matrix, x, out=out, schedule=schedule)


def sparse_matrix_vector_fast(team, matrix, x, *, out=None, schedule="static") -> np.ndarray:
    """As many entries to each thread, wherever rows begin; sums of rows that were cut are put together at the end.

    Parameters
    ----------
    matrix : SparseMatrix
    x : ndarray of float64, shape (num_columns,)
    out : ndarray of float64, shape (num_rows,), optional
        Where the result goes.
    schedule : str
        Of parts of 4096 entries. The result has the same bits for any.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> matrix = SparseMatrix(np.array([0, 2, 2, 3]), np.array([0, 2, 1]), np.array([1.0, 2.0, 3.0]), 3)
    >>> sparse_matrix_vector_fast(Team(2), matrix, np.array([1.0, 10.0, 100.0]))
    array([201.,   0.,  30.])
    """
    given = _checked(matrix, x, out)
    y = given[-1]
    y[:] = 0
    num_parts = -(-matrix.num_entries // PART)
    head_rows, heads = np.zeros(num_parts, np.int64), np.zeros(num_parts)
    team.parallel_for(multiply_parts, num_parts, *given, head_rows, heads, schedule=schedule)
    np.add.at(y, head_rows, heads)
    return y


def make_input(size: int, seed: int = 0) -> tuple:
    """A square matrix whose row i has ``size // (i + 1)`` entries: the first rows have most of them; and a vector."""
    rng = np.random.default_rng(seed)
    lengths = size // np.arange(1, size + 1)
    row_starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    num_entries = int(row_starts[-1])
    matrix = SparseMatrix(row_starts, rng.integers(0, max(size, 1), num_entries), rng.random(num_entries), size)
    return matrix, rng.random(size)


def oracle(matrix, x) -> np.ndarray:
    """All products, then summed by row, in NumPy."""
    rows = np.repeat(np.arange(matrix.num_rows), np.diff(matrix.row_starts.astype(np.int64)))
    products = matrix.values * x[matrix.columns.astype(np.int64)]
    return np.bincount(rows, weights=products, minlength=matrix.num_rows).astype(np.float64)


LADDERS = (
    Ladder(
        "sparse_matrix_vector",
        (
            Version("serial", sparse_matrix_vector_serial, True, "One thread."),
            Version("race", sparse_matrix_vector_race, False, "Wrong: threads in one row overwrite each other's sums."),
            Version("static", sparse_matrix_vector_static, True, "Slow: who has the long rows works, others wait."),
            Version("dynamic", sparse_matrix_vector_dynamic, True, "Balanced, except for a row longer than a share."),
            Version("fast", sparse_matrix_vector_fast, True, "Equal numbers of entries; rows are cut where need be."),
        ),
        oracle, make_input,
        # a value and a column an entry; x read, y written, and the begins of rows, once each
        bytes=lambda matrix, x: 16 * matrix.num_entries + 8 * x.size + 16 * matrix.num_rows,
        flops=lambda matrix, x: 2 * matrix.num_entries, tolerance=1e-12,
    ),
)  # fmt: skip
