"""The variance of data far from zero, in one pass and in two."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import ErrorCurves, check_whole, curve
from labkit.floating_point.emulated import Arithmetic
from labkit.floating_point.formats import Format

METHODS = ("textbook", "shifted", "Welford", "two passes")
MOST_VALUES = 10_000


def variance(values, *, method: str = "textbook", fmt: str | Format = "binary64"):
    """The sample variance, divided by n - 1, in a format.

    Parameters
    ----------
    values : array_like of float, shape (n,) or (n, m)
        At least 2 along the first axis; each column is data of its own. Rounded to the format first.
    method : str
        ``"textbook"``: one pass, ``(sum(x*x) - sum(x)**2 / n) / (n-1)``; it can be negative. ``"shifted"``: the same
        for ``x - x[0]``. ``"Welford"``: one pass that updates the mean and the sum of squares about it. ``"two
        passes"``: the mean first, then ``sum((x - mean)**2) / (n-1)``.
    fmt : str or Format

    Returns
    -------
    float or ndarray of float64, shape (m,)

    References
    ----------
    B. P. Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 4, 1962.
    T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, The American Statistician 37,
    1983.

    Examples
    --------
    >>> data = [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]  # the variance is 30
    >>> [variance(data, method=name) for name in METHODS]
    [-170.66666666666666, 30.0, 30.0, 30.0]
    """
    if method not in METHODS:
        raise UsageError(f"variance: method is one of {', '.join(METHODS)}, not {method!r}: pass one of them.")
    op = Arithmetic(fmt)
    x = np.asarray(values, np.float64)
    if x.ndim not in (1, 2) or not 2 <= len(x) <= MOST_VALUES:
        raise UsageError(
            f"variance: values are 2 to {MOST_VALUES} numbers, or rows of them, but the shape is {x.shape}: "
            f"pass an array of shape (n,) or (n, m)."
        )
    x = op.round(x)
    n = op.round(float(len(x)))
    if method == "Welford":
        squares = _welford(x, op)
    elif method == "two passes":
        mean = op.div(op.sum(x), n)
        deviations = op.sub(x, mean)
        squares = op.sum(op.mul(deviations, deviations))
    else:
        x = x if method == "textbook" else op.sub(x, x[0])
        total = op.sum(x)
        squares = op.sub(op.sum(op.mul(x, x)), op.div(op.mul(total, total), n))
    found = op.div(squares, op.sub(n, 1))
    return found if found.ndim else float(found)


def _welford(x: np.ndarray, op: Arithmetic) -> np.ndarray:
    """The sum of squares about the mean."""
    mean, squares = x[0], np.zeros_like(x[0])
    for k, value in enumerate(x[1:], 2):
        delta = op.sub(value, mean)
        mean = op.add(mean, op.div(delta, op.round(float(k))))
        squares = op.add(squares, op.mul(delta, op.sub(value, mean)))
    return squares


def exact_variance(values: Sequence[float]) -> Fraction:
    """The sample variance of numbers exactly as they are stored.

    Examples
    --------
    >>> exact_variance([1.0, 2.0, 4.0])
    Fraction(7, 3)
    """
    numbers = [Fraction(float(value)) for value in values]
    total = sum(numbers)
    return (sum(x * x for x in numbers) - total * total / len(numbers)) / (len(numbers) - 1)


def variance_sweep(
    num_values: int = 50, *, fmt: str | Format = "binary64", largest_power: int | None = None, seed: int = 1
) -> ErrorCurves:
    """The relative error of the variance of the same data, moved further and further from zero.

    Parameters
    ----------
    num_values : int
        2 to 1000, uniform from -1 to 1 before they are moved.
    fmt : str or Format
    largest_power : int, optional
        The data are moved by 1, 2, 4, ..., ``2**largest_power``; by default, and at most, as far as the format still
        has four bits left for the data.
    seed : int

    Returns
    -------
    ErrorCurves
        Over the shift; the methods are ``METHODS``. The exact value is that of the data as the format holds them. The
        bound is ``n u kappa**2`` of the textbook, where ``kappa**2 = 1 + n mean**2 / sum((x - mean)**2)``.

    Examples
    --------
    >>> curves = variance_sweep()
    >>> bool(curves["textbook"].errors[30] > 1), bool(curves["Welford"].errors[30] < 1e-6)
    (True, True)
    """
    op = Arithmetic(fmt)
    most = min(op.fmt.precision - 4, (op.fmt.max_exponent - 12) // 2)
    if most < 1:
        raise UsageError(
            f"variance_sweep: {op.fmt.name} has too few digits or exponents to move data: pass a wider format, such as "
            f"binary16."
        )
    largest_power = most if largest_power is None else largest_power
    check_whole("variance_sweep", "num_values", num_values, 2, 1000)
    check_whole("variance_sweep", "largest_power", largest_power, 1, most)
    check_whole("variance_sweep", "seed", seed, 0, 2**63)
    data = np.random.default_rng(seed).uniform(-1, 1, num_values)
    shifts = 2.0 ** np.arange(largest_power + 1)
    x = op.round(data[:, None] + shifts)
    exact = [exact_variance(column) for column in x.T]
    mean, spread = x.mean(axis=0), np.array([float(v) for v in exact]) * (num_values - 1)
    bound = num_values * op.unit_roundoff * (1 + num_values * mean**2 / spread)
    return ErrorCurves(
        op.fmt, "shift of the data", shifts, np.array([float(v) for v in exact]),
        tuple(curve(name, variance(x, method=name, fmt=fmt), exact) for name in METHODS),
        bounds=(("n u κ²", bound),),
    )
