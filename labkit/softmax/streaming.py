"""Softmax times a matrix, and attention, without the matrix of probabilities.

A block of columns at a time: its exponentials times its rows of V are added to what is there, and when a new maximum
comes, what is there is scaled, as the sum of online softmax is. At the end everything is divided by the sum. So the
memory does not grow with n * C; the gradient computes the probabilities again, block by block, from maximum and sum.

References
----------
Rabe, Staats: Self-attention does not need O(n^2) memory, 2021 (arXiv 2112.05682). Dao: FlashAttention-2, 2023
(arXiv 2307.08691), algorithms 1 and 2.
"""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.arguments import check_rows, count, positive, wide
from labkit.softmax.online import merge

BLOCK_SIZE = 512  # columns


class _Sum:
    """The state of rows with a third part: ``sum(exp(x - m) * V)``."""

    def __init__(self, num_rows: int, width: int, dtype):
        self.m, self.d = np.full(num_rows, -np.inf), np.zeros(num_rows)
        self.total = np.zeros((num_rows, width), dtype)

    def add(self, x: np.ndarray, v: np.ndarray) -> None:
        """A block: logits (n, b) and its rows of V (b, w)."""
        m = x.max(axis=1)
        e = np.exp(x - np.where(m == -np.inf, 0, m)[:, None])  # a row of -inf: zeros
        old, block = self.m, m.astype(np.float64)
        self.m, self.d = merge((old, self.d), (block, e.sum(axis=1, dtype=np.float64)))
        self.total *= _factor(old, self.m)[:, None].astype(self.total.dtype)
        self.total += (e @ v) * _factor(block, self.m)[:, None].astype(self.total.dtype)

    def result(self) -> np.ndarray:
        return self.total / self.d[:, None].astype(self.total.dtype)


def _factor(m, new):
    return np.where(m == -np.inf, 0.0, np.exp(m - new))


def softmax_times(x: np.ndarray, v: np.ndarray, *, block_size: int = BLOCK_SIZE) -> np.ndarray:
    """``softmax(x) @ v`` in one pass over x and v.

    Parameters
    ----------
    x : array (n, C), contiguous, of float16, float32 or float64
    v : array (C, w) of the type of x
    block_size : int
        Columns of x done at a time.

    Returns
    -------
    array (n, w)
        Rows of x that have no softmax (see :mod:`labkit.softmax`) give NaN; so do rows without columns. A NaN or
        infinity in v reaches all rows, as in the product of matrices.

    Raises
    ------
    UsageError
        Arrays that do not fit.

    Examples
    --------
    >>> softmax_times(np.log([[1.0, 3.0]]), np.array([[0.0, 4.0], [4.0, 0.0]])).round(9).tolist()
    [[3.0, 1.0]]
    """
    size = count("block_size", block_size)
    check_rows("x", x), _check_like("v", v, (x.shape[1], None), x)
    logits, values = wide(x), wide(v)
    found = _Sum(len(x), v.shape[1], logits.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, x.shape[1], size):
            found.add(logits[:, start : start + size], values[start : start + size])
        return found.result().astype(x.dtype)


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *, scale: float | None = None, causal: bool = False,
    block_size: int = BLOCK_SIZE,
) -> tuple[np.ndarray, np.ndarray]:
    """``softmax(scale * q @ k.T) @ v``, one block of keys at a time.

    Parameters
    ----------
    q : array (n, a), contiguous, of float16, float32 or float64
        Queries.
    k, v : arrays (C, a) and (C, w) of the type of q
        Keys and values.
    scale : float, optional
        1 / sqrt(a) by default.
    causal : bool
        Query i sees keys 0 to i only; n is C then.
    block_size : int
        Keys done at a time.

    Returns
    -------
    output : array (n, w)
    log_sums : array (n,) of float64
        The logarithm of the sum of exponentials of each row: what :func:`attention_backward` needs.

    Raises
    ------
    UsageError
        Arrays that do not fit, a scale that is not more than 0.

    Examples
    --------
    >>> one = np.ones((2, 1))
    >>> attention(one, one, np.array([[1.0], [3.0]]), causal=True)[0].tolist()
    [[1.0], [2.0]]
    """
    size, scale = _checked(q, k, v, scale, causal, block_size)
    queries, keys, values = wide(q), wide(k), wide(v)
    found = _Sum(len(q), v.shape[1], queries.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, len(k), size):
            block = slice(start, start + size)
            found.add(_logits(queries, keys[block], scale, causal, start), values[block])
        return found.result().astype(q.dtype), found.m + np.log(found.d)


def attention_backward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, output: np.ndarray, log_sums: np.ndarray, gradient: np.ndarray, *,
    scale: float | None = None, causal: bool = False, block_size: int = BLOCK_SIZE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients by queries, keys and values; the probabilities are computed again, block by block.

    Parameters
    ----------
    q, k, v, scale, causal, block_size
        As in :func:`attention`.
    output, log_sums
        What it has returned.
    gradient : array (n, w) of the type of q
        Of the loss by the output.

    Returns
    -------
    arrays like q, k and v

    Examples
    --------
    >>> one, v = np.ones((1, 1)), np.array([[1.0], [3.0]])
    >>> keys = np.ones((2, 1))
    >>> found = attention(one, keys, v)
    >>> [g.round(9).tolist() for g in attention_backward(one, keys, v, *found, one)]
    [[[0.0]], [[-0.5], [0.5]], [[0.5], [0.5]]]
    """
    size, scale = _checked(q, k, v, scale, causal, block_size)
    _check_like("output", output, (len(q), v.shape[1]), q), _check_like("gradient", gradient, output.shape, q)
    queries, keys, values, upstream = wide(q), wide(k), wide(v), wide(gradient)
    by_q, by_k, by_v = np.zeros_like(queries), np.zeros_like(keys), np.zeros_like(values)
    with np.errstate(all="ignore"):
        means = (wide(output) * upstream).sum(axis=1, keepdims=True)  # sum(p * dp) of a row, without the p
        for start in range(0, len(k), size):
            block = slice(start, start + size)
            x = _logits(queries, keys[block], scale, causal, start)
            p = np.exp(x - np.asarray(log_sums)[:, None]).astype(queries.dtype)
            by_v[block] = p.T @ upstream
            by_x = p * (upstream @ values[block].T - means) * queries.dtype.type(scale)
            by_q += by_x @ keys[block]
            by_k[block] = by_x.T @ queries
    return by_q.astype(q.dtype), by_k.astype(k.dtype), by_v.astype(v.dtype)


def _logits(q, k, scale, causal, start):
    x = (q @ k.T) * q.dtype.type(scale)
    if causal:
        x[np.arange(start, start + len(k)) > np.arange(len(q))[:, None]] = -np.inf
    return x


def _checked(q, k, v, scale, causal, block_size):
    check_rows("q", q), _check_like("k", k, (None, q.shape[1]), q), _check_like("v", v, (len(k), None), q)
    if causal and len(q) != len(k):
        raise UsageError(
            f"causal attention has as many queries as keys, not {len(q)} and {len(k)}: pass equal numbers."
        )
    if scale is None:
        scale = 1 / max(q.shape[1], 1) ** 0.5
    return count("block_size", block_size), positive("scale", scale)


def _check_like(name, array, shape, other):
    check_rows(name, array)
    fits = all(wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != other.dtype:
        words = ", ".join("any" if size is None else str(size) for size in shape)
        raise UsageError(
            f"{name} has the shape ({words}) and the type {other.dtype} of the first array, not {array.shape} "
            f"{array.dtype}: pass such an array."
        )
