"""How exact a version is: errors in ulp against softmax computed with 50 digits, and where the definition fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.ulp import ulp
from labkit.softmax.arguments import check_rows
from labkit.softmax.ladder import find_version

FORMATS = {np.dtype(np.float16): "binary16", np.dtype(np.float32): "binary32", np.dtype(np.float64): "binary64"}
DIGITS = 50


def exact_softmax(x: np.ndarray, *, log: bool = False) -> list[list]:
    """Softmax of rows of finite numbers or -inf with 50 digits (``mpmath.mpf``), or its logarithm.

    About 10 µs an element.

    Raises
    ------
    UsageError
        A row with NaN or +inf, or with nothing but -inf.

    Examples
    --------
    >>> import mpmath
    >>> mpmath.nstr(exact_softmax(np.array([[0.0, 1.0]]))[0][1], 20)
    '0.73105857863000487925'
    """
    import mpmath

    check_rows("x", x)
    if x.size and not (np.isfinite(x.max(axis=1)).all()):
        raise UsageError("exact_softmax: each row has a largest number that is finite: leave out the other rows.")
    with mpmath.workdps(DIGITS):
        rows = []
        for row in x:
            logits = [mpmath.mpf(float(value)) for value in row]
            top = max(logits, default=mpmath.mpf(0))
            exponentials = [mpmath.exp(value - top) for value in logits]
            total = mpmath.fsum(exponentials)
            rows.append([v - top - mpmath.log(total) for v in logits] if log else [e / total for e in exponentials])
        return rows


def ulp_errors(y: np.ndarray, exact: list[list]) -> np.ndarray:
    """How far results are from exact ones, in units of the last place of the exact number in the type of y.

    Parameters
    ----------
    y : array (n, C) of float16, float32 or float64
    exact : n lists of C ``mpmath.mpf``

    Returns
    -------
    array (n, C) of float64
        NaN and infinite results are infinitely far from a finite number; 0 for -inf where that is exact.

    Examples
    --------
    >>> import mpmath
    >>> ulp_errors(np.array([[1.0, 0.5]]), [[mpmath.mpf(1) + mpmath.mpf(2)**-52, mpmath.mpf(0.5)]]).tolist()
    [[1.0, 0.0]]
    """
    import mpmath

    check_rows("y", y)
    errors = np.empty(y.shape)
    units = ulp(np.array([[float(value) for value in row] for row in exact]).reshape(y.shape), FORMATS[y.dtype])
    with mpmath.workdps(DIGITS):
        for i, row in enumerate(exact):
            for k, value in enumerate(row):
                found = float(y[i, k])
                if mpmath.isfinite(value) and np.isfinite(found):
                    errors[i, k] = float(abs(mpmath.mpf(found) - value) / mpmath.mpf(float(units[i, k])))
                else:
                    errors[i, k] = 0.0 if found == float(value) else np.inf
    return errors


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors of a version in ulp, of results above ``least``.

    Attributes
    ----------
    version, dtype : str
    max_ulp, mean_ulp : float
        Infinite if a result is NaN or infinite.
    num_results : int
    """

    version: str
    dtype: str
    max_ulp: float
    mean_ulp: float
    num_results: int


def measure_accuracy(
    x: np.ndarray, versions: Sequence[str], *, least: float = 1e-30
) -> tuple[Accuracy, ...]:
    """The errors of versions on the same logits.

    Parameters
    ----------
    x : array (n, C) of finite logits
        A thousand elements take 10 ms.
    versions : names in :data:`.ladder.VERSIONS`
    least : float
        Probabilities below do not count.

    Examples
    --------
    >>> found = measure_accuracy(np.array([[1.0, 2.0, 800.0]]), ["naive", "shifted"])
    >>> found[0].max_ulp, found[1].max_ulp <= 1, found[1].num_results
    (inf, True, 1)
    """
    probabilities = exact_softmax(x)
    counted = np.array([[float(p) > least for p in row] for row in probabilities]).reshape(x.shape)
    results = []
    for name in versions:
        version = find_version(name)
        exact = exact_softmax(x, log=True) if version.is_log else probabilities
        errors = ulp_errors(version.forward(x), exact)[counted]
        largest, mean = (float(errors.max()), float(errors.mean())) if errors.size else (0.0, 0.0)
        results.append(Accuracy(name, str(x.dtype), largest, mean, errors.size))
    return tuple(results)


@dataclass(frozen=True, slots=True)
class FailureMap:
    """What a version makes of ``row + offset`` in several formats.

    Attributes
    ----------
    row : tuple of float
    offsets : tuple of float
    dtypes : tuple of str
    errors : array (formats, offsets)
        The largest error of a probability relative to it, of the offset row as the format stores it; inf for NaN, and
        where the format cannot store the row.
    version : str
    """

    row: tuple[float, ...]
    offsets: tuple[float, ...]
    dtypes: tuple[str, ...]
    errors: np.ndarray
    version: str = "naive"


def failure_map(
    row: Sequence[float], offsets: Sequence[float], dtypes: Sequence[str] = ("float16", "float32", "float64"), *,
    version: str = "naive",
) -> FailureMap:  # fmt: skip
    """Where a version fails when the same number is added to all logits.

    In exact arithmetic nothing changes. ``naive`` is ``exp(x) / sum(exp(x))`` computed in the format itself, float16
    too; the others compute as :func:`.ladder.softmax` does.

    Examples
    --------
    >>> found = failure_map([0.0, 1.0], [0.0, 100.0], ["float32", "float64"])
    >>> np.isinf(found.errors).tolist()
    [[False, True], [False, False]]
    >>> bool(np.isinf(failure_map([0.0, 1.0], [0.0, 1000.0], version="shifted").errors).any())
    False
    """
    forward = _naive_in_format if find_version(version).name == "naive" else find_version(version).forward
    errors = np.empty((len(dtypes), len(offsets)))
    for i, dtype in enumerate(dtypes):
        if np.dtype(dtype) not in FORMATS:
            raise UsageError(f"dtypes: float16, float32, float64, not {dtype!r}: pass these.")
        for k, offset in enumerate(offsets):
            with np.errstate(all="ignore"):
                x = (np.asarray(row, np.float64) + offset).astype(dtype)[None]
                errors[i, k] = _largest_error(forward, x, is_log=find_version(version).is_log)
    return FailureMap(tuple(map(float, row)), tuple(map(float, offsets)), tuple(map(str, dtypes)), errors, version)


def _naive_in_format(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True, dtype=x.dtype)


def _largest_error(forward, x: np.ndarray, *, is_log: bool) -> float:
    """Of the probabilities of one row, relative to the exact ones."""
    if not np.isfinite(x.max()):
        return np.inf
    found = forward(x)[0].astype(np.float64)
    exact = np.array([float(p) for p in exact_softmax(x)[0]])
    found = np.exp(found) if is_log else found
    error = np.where(found == exact, 0.0, np.abs(found - exact) / exact)
    return np.inf if np.isnan(error).any() else float(error.max())
