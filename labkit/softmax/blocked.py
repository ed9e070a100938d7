"""Softmax block by block: each block of columns is read once from memory and then worked on in the cache."""

from __future__ import annotations

import numpy as np

from labkit.softmax.arguments import check_rows, check_same, count, result_array, wide
from labkit.softmax.online import NOTHING, merge

BLOCK_SIZE = 4096  # columns
ROWS = 16  # rows done together: NumPy's calls should not be too short


def softmax_blocked(x: np.ndarray, *, out: np.ndarray | None = None, block_size: int = BLOCK_SIZE) -> np.ndarray:
    """The probabilities of rows of logits: states of blocks, merged as in :mod:`.online`; then the result by blocks.

    Parameters
    ----------
    x, out
        As in :func:`.naive.softmax_naive`, as are result and errors.
    block_size : int
        Columns of a block.

    Notes
    -----
    Reads 2 and writes 1 number an element of memory if a block fits in the cache.

    Examples
    --------
    >>> softmax_blocked(np.array([[1000.0, 1000.0, -np.inf]]), block_size=2).tolist()
    [[0.5, 0.5, 0.0]]
    """
    size = count("block_size", block_size)
    result = result_array(out, check_rows("x", x))
    with np.errstate(all="ignore"):
        for first in range(0, len(x) if x.size else 0, ROWS):
            rows = slice(first, first + ROWS)
            blocks = [slice(start, start + size) for start in range(0, x.shape[1], size)]
            state = tuple(np.full(len(x[rows]), value) for value in NOTHING)
            for block in blocks:
                state = merge(state, block_states(wide(x[rows, block])))
            m, d = (values[:, None] for values in state)
            for block in blocks:
                part = wide(x[rows, block])
                result[rows, block] = np.exp(part - m.astype(part.dtype)) / d
    return result


def block_states(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The states (m, d) of rows that have columns; d in float64.

    Examples
    --------
    >>> [values.tolist() for values in block_states(np.array([[1.0, 1.0], [-np.inf, -np.inf]]))]
    [[1.0, -inf], [2.0, 0.0]]
    """
    with np.errstate(all="ignore"):
        m = x.max(axis=1)
        d = np.exp(x - m[:, None]).sum(axis=1, dtype=np.float64)
    return m.astype(np.float64), np.where(m == -np.inf, 0.0, d)


def softmax_blocked_backward(
    y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None, block_size: int = BLOCK_SIZE
) -> np.ndarray:
    """The gradient by the logits, block by block: ``sum(y * gradient)`` first, then the result.

    Parameters, result and errors as :func:`.naive.softmax_naive_backward`.

    Examples
    --------
    >>> softmax_blocked_backward(np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]]), block_size=1).tolist()
    [[0.1875, -0.1875]]
    """
    size = count("block_size", block_size)
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    with np.errstate(all="ignore"):
        for first in range(0, len(y) if y.size else 0, ROWS):
            rows = slice(first, first + ROWS)
            blocks = [slice(start, start + size) for start in range(0, y.shape[1], size)]
            dot = sum(
                (wide(y[rows, block]) * wide(gradient[rows, block])).sum(axis=1, dtype=np.float64) for block in blocks
            )[:, None]
            for block in blocks:
                part = wide(y[rows, block])
                result[rows, block] = part * (wide(gradient[rows, block]) - dot.astype(part.dtype))
    return result
