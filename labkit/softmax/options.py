"""What is done to logits before softmax: temperature, masks, top-k; forward and backward."""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.arguments import check_rows, check_same, count, positive, result_array, wide
from labkit.softmax.ladder import find_version, softmax, softmax_backward

EMPTY_ROWS = ("nan", "zeros")


def masked_softmax(
    x: np.ndarray, *, temperature: float = 1.0, mask=None, top_k: int | None = None, empty_rows: str = "nan",
    version: str = "threaded", out: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities of ``x / temperature`` over the columns that are allowed.

    With a temperature other than 1 they are computed in float64 and rounded once, at the end.

    Parameters
    ----------
    x : array (n, C), contiguous, of float16, float32 or float64
    temperature : float
        More than 0. Small ones tend to the largest logit alone, large ones to equal probabilities.
    mask : array of bool (n, C), (C,) or (n, 1), optional
        True where a column takes part; elsewhere the probability is 0, whatever the logit is.
    top_k : int, optional
        Only the k largest logits of a row (of those that the mask allows) take part; of equal ones the first.
    empty_rows : str
        What rows in which nothing takes part get: ``"nan"`` as the ladder has it, or ``"zeros"``, the probability 0
        (its logarithm, -inf, from ``version="log"``).
    version : str
        See :mod:`.ladder`.
    out : array (n, C), optional

    Raises
    ------
    UsageError
        A temperature that is not more than 0, a mask of another type or shape, a k out of range.

    Examples
    --------
    >>> masked_softmax(np.array([[1.0, 2.0, 2.0]]), mask=[True, False, True], temperature=1e-3).tolist()
    [[0.0, 0.0, 1.0]]
    >>> masked_softmax(np.array([[1.0, 2.0, 2.0]]), top_k=1).tolist()
    [[0.0, 1.0, 0.0]]
    """
    if empty_rows not in EMPTY_ROWS:
        raise UsageError(f"empty_rows: one of {', '.join(EMPTY_ROWS)}, not {empty_rows!r}: pass one of these.")
    logits = _tempered(x, temperature, mask, top_k)
    result = result_array(out, x)
    empty = (logits == -np.inf).all(axis=1) if empty_rows == "zeros" else None
    if logits.dtype == x.dtype:
        softmax(logits, version=version, out=result)
    else:
        with np.errstate(under="ignore"):
            result[...] = softmax(logits, version=version)
    if empty is not None:
        result[empty] = -np.inf if find_version(version).is_log else 0
    return result


def masked_softmax_backward(
    y: np.ndarray, gradient: np.ndarray, *, temperature: float = 1.0, version: str = "threaded",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient by the logits x of :func:`masked_softmax`: that of the ladder, divided by the temperature.

    Columns that took no part have the probability 0, and so the gradient 0.

    Examples
    --------
    >>> masked_softmax_backward(np.array([[0.25, 0.75, 0.0]]), np.array([[1.0, 0.0, 9.0]]), temperature=0.5).tolist()
    [[0.375, -0.375, 0.0]]
    """
    temperature = positive("temperature", temperature)
    if getattr(y, "dtype", None) == np.float16:  # rounded once, at the end
        check_same("gradient", gradient, "y", check_rows("y", y))
        result = result_array(out, y, gradient)
        found = softmax_backward(wide(y), wide(gradient), version=version)
    else:
        result = found = softmax_backward(y, gradient, version=version, out=out)
    with np.errstate(over="ignore", under="ignore"):  # of results that the type does not have
        np.divide(found, temperature, out=result, dtype=np.float64, casting="unsafe")
    return result


def prepared_logits(x: np.ndarray, *, temperature: float = 1.0, mask=None, top_k: int | None = None) -> np.ndarray:
    """The logits whose softmax is wanted: -inf where a column takes no part, and divided by the temperature.

    With a temperature other than 1 the row's maximum is subtracted first: x / 1e-300 would overflow.

    Examples
    --------
    >>> prepared_logits(np.array([[1.0, 3.0]]), temperature=0.5).tolist()
    [[-4.0, 0.0]]
    """
    with np.errstate(over="ignore", under="ignore"):
        return _tempered(x, temperature, mask, top_k).astype(x.dtype, copy=False)


def _tempered(x: np.ndarray, temperature: float, mask, top_k: int | None) -> np.ndarray:
    """:func:`prepared_logits`, in float64 if they were divided."""
    temperature = positive("temperature", temperature)
    logits = check_rows("x", x)
    if mask is not None:
        logits = np.where(_checked_mask(mask, x.shape), logits, x.dtype.type(-np.inf))
    if top_k is not None:
        logits = _only_largest(logits, count("top_k", top_k))
    if temperature != 1 and x.size:
        with np.errstate(all="ignore"):
            values = wide(logits).astype(np.float64)
            largest = values.max(axis=1, keepdims=True)
            largest[largest == -np.inf] = 0  # a row without columns stays one: -inf - -inf would be NaN
            logits = (values - largest) / temperature
    return np.ascontiguousarray(logits)


def _checked_mask(mask, shape) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise UsageError(f"mask is of bool, True where a column takes part, not of {mask.dtype}: pass mask != 0.")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise UsageError(
            f"mask has the shape of x, {shape}, or of a row of it, not {mask.shape}: pass such a mask."
        ) from None


def _only_largest(x: np.ndarray, k: int) -> np.ndarray:
    """-inf everywhere but at the k largest of each row; rows with NaN stay, so that they become NaN."""
    if k >= x.shape[1]:
        return x
    order = np.argsort(-wide(x), axis=1, kind="stable")[:, :k]  # stable: of equal logits the first; NaN come last
    result = np.full_like(x, -np.inf)
    np.put_along_axis(result, order, np.take_along_axis(x, order, axis=1), axis=1)
    broken = np.isnan(x).any(axis=1)
    result[broken] = x[broken]
    return result
