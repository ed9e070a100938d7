"""What the accidents have in common: checks of arguments, and error curves, the result of most of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.formats import Format


@dataclass(frozen=True, eq=False)
class Curve:
    """What one method gives along a sweep.

    Attributes
    ----------
    name : str
    values : ndarray of float64, shape (n,)
        Results, numbers of the format; NaN or infinity where the method breaks down.
    errors : ndarray of float64, shape (n,)
        Relative to the exact result; NaN where the result is no finite number.
    """

    name: str
    values: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True, eq=False)
class ErrorCurves:
    """The relative errors of several methods for one problem while a parameter grows or shrinks.

    Attributes
    ----------
    fmt : Format
    parameter : str
        What ``x`` is.
    x : ndarray of float64, shape (n,)
    exact : ndarray of float64, shape (n,)
        The exact results, rounded to binary64 for drawing.
    curves : tuple of Curve
        The methods, the usual one first.
    bounds : tuple of (str, ndarray)
        What theory says of the errors: name and values, of shape (n,).
    optima : tuple of (str, float)
        Values of ``x`` where theory has the smallest error, by the name of the method.
    """

    fmt: Format
    parameter: str
    x: np.ndarray
    exact: np.ndarray
    curves: tuple[Curve, ...]
    bounds: tuple[tuple[str, np.ndarray], ...] = ()
    optima: tuple[tuple[str, float], ...] = ()

    def __getitem__(self, name: str) -> Curve:
        """The curve of a method."""
        for curve in self.curves:
            if curve.name == name:
                return curve
        names = ", ".join(repr(curve.name) for curve in self.curves)
        raise UsageError(f"there is no method {name!r} here: the methods are {names}.")


def relative_error(value: float, exact: Fraction) -> float:
    """``|value - exact| / |exact|`` without rounding before the end; NaN where the value is no finite number.

    Examples
    --------
    >>> relative_error(3.0, Fraction(4)), relative_error(float("inf"), Fraction(4))
    (0.25, nan)
    """
    value = float(value)
    if not math.isfinite(value):
        return math.nan
    difference = abs(Fraction(value) - exact)
    return 0.0 if difference == 0 else float(difference / abs(exact)) if exact else math.inf


def curve(name: str, values, exact: Sequence[Fraction]) -> Curve:
    """A method's results beside the exact ones."""
    values = np.asarray(values, np.float64)
    return Curve(name, values, np.array([relative_error(v, e) for v, e in zip(values, exact, strict=True)]))


def check_whole(call: str, name: str, value, least: int, most: int) -> None:
    """Refuse what is no whole number of a range."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{call}: {name} is a whole number from {least} to {most}, not {value!r}: pass such a one.")


def check_real(call: str, name: str, value, least: float, most: float) -> None:
    """Refuse what is no finite number of a range."""
    if not isinstance(value, Real) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{call}: {name} is a number from {least:g} to {most:g}, not {value!r}: pass such a one.")
