"""Softmax without a maximum: exponentials with an exponent of their own cannot overflow.

``e**x = a * 2**n`` with ``a`` near 1 and ``n`` kept as a number apart. Sums of such pairs align the smaller one to the
larger exponent, by a power of two, which rounds nothing.

References
----------
Dukhan, Ablavatski: Two-pass softmax algorithm, 2020 (arXiv 2001.04438), algorithm 3.
"""

from __future__ import annotations

import numpy as np

from labkit.softmax.arguments import check_rows, result_array
from labkit.softmax.shifted import softmax_shifted

LOG2E = 1.4426950408889634
# ln 2 in three parts: the first two so short that a whole number of 21 bits times them is exact in float64
LN2_PARTS = (0.6931471803691238, 1.9082149288430703e-10, 4.275175589747649e-20)
LARGEST = 2.0**20  # logits beyond: n has more than 21 bits
NO_EXPONENT = -(2.0**40)  # of zero
BLOCK = 8192  # columns


def extended_exp(x) -> tuple[np.ndarray, np.ndarray]:
    """``e**x`` as pairs (a, n), meaning ``a * 2**n``, in float64.

    Parameters
    ----------
    x : array of logits up to 2^20 in size, -inf or NaN

    Returns
    -------
    a : array
        0.7 to 1.42; 0 for -inf.
    n : array
        Whole numbers as floats.

    Examples
    --------
    >>> a, n = extended_exp(np.array([0.0, 10000.0]))
    >>> n.tolist(), round(float(np.log(a[1]) + n[1] * np.log(2)), 9)
    ([0.0, 14427.0], 10000.0)
    """
    x = np.asarray(x, np.float64)
    empty = x == -np.inf
    x = np.where(empty, 0.0, x)
    n = np.rint(x * LOG2E)
    r = x
    for part in LN2_PARTS:
        r = r - n * part
    return np.where(empty, 0.0, np.exp(r)), np.where(empty, NO_EXPONENT, n)


def add_extended(first: tuple, second: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two pairs, or of arrays of them.

    Examples
    --------
    >>> [float(v) for v in add_extended((1.0, 3.0), (1.0, 1.0))]
    [1.25, 3.0]
    """
    (a, n), (b, k) = first, second
    top = np.maximum(n, k)
    return a * _power(n - top) + b * _power(k - top), top


def _power(n) -> np.ndarray:
    """``2**n`` for whole n of at most 0."""
    return np.ldexp(1.0, np.maximum(n, -1100).astype(np.int32))


def softmax_two_pass(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of logits in two passes over memory: sum, result.

    Parameters, result and errors as :func:`.naive.softmax_naive`.

    Notes
    -----
    Reads 2 and writes 1 number an element, and computes every exponential twice. Arithmetic is in float64 here. Rows
    with logits beyond 2^20 in size (but -inf) go to :func:`.shifted.softmax_shifted`.

    Examples
    --------
    >>> softmax_two_pass(np.array([[1000.0, 1000.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    result = result_array(out, check_rows("x", x))
    if x.size == 0:
        return result
    with np.errstate(all="ignore"):
        far = ((np.abs(x) > LARGEST) & (x != -np.inf)).any(axis=1)
        kept = softmax_shifted(x[far]) if far.any() else None  # before out, which may be x, is written
        total = np.zeros(len(x)), np.full(len(x), NO_EXPONENT)
        for start in range(0, x.shape[1], BLOCK):
            total = add_extended(total, _block_sum(x[:, start : start + BLOCK], far))
        for start in range(0, x.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            a, n = extended_exp(np.where(far[:, None], 0, x[:, block]))
            result[:, block] = a / total[0][:, None] * _power(n - total[1][:, None])
        if kept is not None:
            result[far] = kept
    return result


def _block_sum(x, far):
    """The sums of the rows of a block, as pairs."""
    a, n = extended_exp(np.where(far[:, None], 0, x))
    top = n.max(axis=1)
    return (a * _power(n - top[:, None])).sum(axis=1), top
