"""Softmax as it is defined: ``exp(x) / sum(exp(x))``. It overflows."""

from __future__ import annotations

import numpy as np

from labkit.softmax.arguments import check_rows, check_same, result_array, wide


def softmax_naive(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of logits, by the definition.

    Every version has this signature and these errors.

    Parameters
    ----------
    x : array (n, C), contiguous, of float16, float32 or float64
    out : array (n, C) of the same type, optional
        Where the result goes; it may be ``x``.

    Returns
    -------
    array (n, C)

    Raises
    ------
    UsageError
        Another type or shape, an array that is not contiguous, or an ``out`` that does not fit or overlaps in part.

    Notes
    -----
    Reads x once, writes the result and reads it twice (sum, division). float32: logits above 88.7 overflow
    (inf / inf is NaN), rows with all logits below -104 underflow (0 / 0 is NaN). float64: 709.8 and -745.

    Examples
    --------
    >>> softmax_naive(np.array([[0.0, 0.0], [1000.0, 1000.0]])).tolist()
    [[0.5, 0.5], [nan, nan]]
    """
    result = result_array(out, check_rows("x", x))
    with np.errstate(all="ignore"):  # what overflows is the lesson
        exponentials = np.exp(wide(x))
        result[...] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def softmax_naive_backward(y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of a loss by the logits, with the matrix of derivatives of each row.

    Parameters
    ----------
    y : array (n, C)
        The probabilities.
    gradient : array (n, C) of the type of y
        Of the loss by the probabilities.
    out : array (n, C), optional

    Returns
    -------
    array (n, C)

    Notes
    -----
    ``d y_i / d x_j = y_i (delta_ij - y_j)``: C x C numbers a row; :func:`.shifted.softmax_backward` needs none.

    Examples
    --------
    >>> softmax_naive_backward(np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]])).tolist()
    [[0.1875, -0.1875]]
    """
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    for i in range(len(y)):
        p = wide(y[i]).copy()
        result[i] = (np.diag(p) - np.outer(p, p)) @ wide(gradient[i])
    return result
