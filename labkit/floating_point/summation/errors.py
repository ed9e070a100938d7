"""Errors of sums, measured: in ulp, and relative to the exact sum, against the condition number, with bounds beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.summation.adversarial import hard_dot, hard_sum
from labkit.floating_point.summation.bounds import RUNNING, a_priori_bound, sum_with_running_bound
from labkit.floating_point.summation.registry import find_sum
from labkit.floating_point.ulp import ulp

FORMATS = {np.dtype(np.float64): "binary64", np.dtype(np.float32): "binary32"}
CONDITIONS = tuple(10.0**k for k in range(1, 41, 3))


def error_ulp(value, exact: Fraction, dtype=np.float64) -> float:
    """How far a result is from the exact one, in units of the last place of the exact one; with its sign.

    Parameters
    ----------
    value : float or numpy.float32
    exact : Fraction
    dtype : numpy.float64 or numpy.float32
        The format that is meant.

    Returns
    -------
    float
        At most 0.5 in magnitude for a correctly rounded result; an infinity or NaN for such a value.

    Examples
    --------
    >>> error_ulp(0.1 + 0.2, Fraction(3, 10)), error_ulp(np.float32(1), Fraction(1) + Fraction(2) ** -24, np.float32)
    (0.8, -0.5)
    """
    if not math.isfinite(value):
        return float(value)
    return float((Fraction(float(value)) - exact) / ulp(exact, FORMATS[np.dtype(dtype)]))


def relative_error(value, exact: Fraction) -> float:
    """``|value - exact| / |exact|``: 0 where both are 0, infinite where exact alone is 0 or value is not finite."""
    if not math.isfinite(value):
        return math.inf
    error = abs(Fraction(float(value)) - exact)
    if error == 0:
        return 0.0
    if exact == 0:
        return math.inf
    ratio = error / abs(exact)
    return float(ratio) if ratio < Fraction(2) ** 1000 else math.inf


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """The errors of one algorithm on inputs of growing condition number.

    Attributes
    ----------
    name : str
    conditions : ndarray of float64, shape (k,)
        That the inputs have.
    errors, bounds, running : ndarray of float64, shape (k,)
        Relative to the exact result: measured, a-priori bound, and running bound (NaN where there is none).
    num_terms : int
    dtype : numpy.dtype
    """

    name: str
    conditions: np.ndarray
    errors: np.ndarray
    bounds: np.ndarray
    running: np.ndarray
    num_terms: int
    dtype: np.dtype


def errors_by_condition(
    names: Sequence[str] = ("recursive", "pairwise", "kahan", "twofold", "kfold", "exact"),
    conditions: Sequence[float] = CONDITIONS, *, num_terms: int = 1000, seed: int = 1, dtype=np.float64,
) -> list[ErrorCurve]:
    """Run sums, or dot products, on inputs of chosen condition numbers.

    Parameters
    ----------
    names : sequence of str
        Of the registry: sums alone, or dot products alone.
    conditions : sequence of float
        See :func:`.hard_sum`.
    num_terms : int
    seed : int
    dtype : numpy.float64 or numpy.float32

    Returns
    -------
    list of ErrorCurve
        One an algorithm; all had the same inputs.

    Raises
    ------
    UsageError
        No such algorithm, sums mixed with dot products, no condition number, or values out of range.

    Examples
    --------
    >>> plain, exact = errors_by_condition(["recursive", "exact"], [1e3, 1e20])
    >>> (plain.errors < [1e-11, 1]).tolist(), (exact.errors <= 2.0**-53).tolist()
    ([True, False], [True, True])
    """
    members = [find_sum(name) for name in names]
    if len({member.is_dot for member in members}) != 1 or not len(conditions):
        raise UsageError(
            f"errors_by_condition: sums alone or dot products alone, at least one, and at least one condition number, "
            f"not {list(names)} and {list(conditions)}: pass such lists."
        )
    make = hard_dot if members[0].is_dot else hard_sum
    inputs = [make(num_terms, condition, seed=seed + k, dtype=dtype) for k, condition in enumerate(conditions)]
    reached = np.array([hard.condition for hard in inputs])
    curves = []
    for member in members:
        errors, bounds, running = [], [], []
        for hard in inputs:
            arguments = (hard.x,) if hard.y is None else (hard.x, hard.y)
            size = float(abs(hard.exact))
            errors.append(relative_error(member.function(*arguments), hard.exact))
            bounds.append(a_priori_bound(member.name, *arguments) / size)
            known = member.name in RUNNING
            running.append(sum_with_running_bound(member.name, hard.x).bound / size if known else math.nan)
        curves.append(
            ErrorCurve(member.name, reached, *map(np.array, (errors, bounds, running)), num_terms, np.dtype(dtype))
        )
    return curves
