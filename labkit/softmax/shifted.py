"""Softmax with the row's maximum subtracted first, its logarithm, and the gradients of both.

``softmax(x) = softmax(x - m)`` for any m. With the maximum the largest exponential is 1: nothing overflows, and the sum
is at least 1.
"""

from __future__ import annotations

import numpy as np

from labkit.softmax.arguments import check_rows, check_same, result_array, wide


def softmax_shifted(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of logits: ``exp(x - m) / sum(exp(x - m))`` with the maximum m of the row.

    Parameters, result and errors as :func:`.naive.softmax_naive`.

    Notes
    -----
    Three passes over memory: maximum, sum, result ("safe softmax"): reads 3 and writes 1 number an element.
    ``x - m`` is rounded: far below the maximum, at ``t = x - m``, that is worth up to ``|t| / 2`` ulp.

    Examples
    --------
    >>> softmax_shifted(np.array([[1000.0, 1000.0], [-np.inf, 5.0]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    result = result_array(out, check_rows("x", x))
    if x.size == 0:
        return result
    with np.errstate(all="ignore"):  # inf - inf in rows that become NaN; exponentials that underflow
        x = wide(x)
        exponentials = np.exp(x - x.max(axis=1, keepdims=True))
        result[...] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def softmax_backward(y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of a loss by the logits: ``y * (gradient - sum(y * gradient))``.

    Parameters, result and errors as :func:`.naive.softmax_naive_backward`.

    Examples
    --------
    >>> softmax_backward(np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]])).tolist()
    [[0.1875, -0.1875]]
    """
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    with np.errstate(all="ignore"):
        y, gradient = wide(y), wide(gradient)
        result[...] = y * (gradient - (y * gradient).sum(axis=1, keepdims=True))
    return result


def log_softmax(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The logarithms of the probabilities: ``x - m - log(sum(exp(x - m)))``.

    The logarithm of a softmax would be -inf where the probability underflows. Parameters, result and errors as
    :func:`.naive.softmax_naive`.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, 2000.0]])).tolist()
    [[-2000.0, 0.0]]
    """
    result = result_array(out, check_rows("x", x))
    if x.size == 0:
        return result
    with np.errstate(all="ignore"):
        x = wide(x)
        shifted = x - x.max(axis=1, keepdims=True)
        result[...] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def log_softmax_backward(y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient by the logits, of :func:`log_softmax`: ``gradient - exp(y) * sum(gradient)``.

    ``y`` are the logarithms. Parameters, result and errors as :func:`.naive.softmax_naive_backward`.

    Examples
    --------
    >>> log_softmax_backward(np.log([[0.25, 0.75]]), np.array([[1.0, 0.0]])).round(12).tolist()
    [[0.75, -0.75]]
    """
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    with np.errstate(all="ignore"):
        y, gradient = wide(y), wide(gradient)
        result[...] = gradient - np.exp(y) * gradient.sum(axis=1, keepdims=True)
    return result
