"""The quadratic formula: cancellation between b and the root, and b*b that overflows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import ErrorCurves, check_whole, curve
from labkit.floating_point.emulated import Arithmetic, sqrt_to_round
from labkit.floating_point.formats import Format

ROOT_BITS = 1200  # of an exact root: more than cancel in any format
METHODS = ("textbook", "stable", "stable and scaled")


@dataclass(frozen=True, slots=True)
class Roots:
    """The two real roots of a quadratic equation; the one of smaller magnitude first."""

    small: float | Fraction
    large: float | Fraction


def solve_quadratic(a, b, c, *, method: str = "textbook", fmt: str | Format = "binary64") -> Roots:
    """The roots of ``a x**2 + b x + c`` in a format.

    Parameters
    ----------
    a, b, c : number or str
        Rounded to the format first; a is not 0.
    method : str
        ``"textbook"``: ``(-b +- sqrt(b*b - 4*a*c)) / (2*a)``. ``"stable"``: only the sum of two numbers of the same
        sign, ``q = -(b + sign(b) sqrt(b*b - 4*a*c)) / 2``, and the roots ``q/a`` and ``c/q``. ``"stable and scaled"``:
        the same after multiplying the equation and x by powers of 2, which rounds nothing, so that ``b*b`` fits.
        ``"exact"``: roots as fractions, right to about 1000 bits.
    fmt : str or Format

    Returns
    -------
    Roots
        Of floats, NaN or infinite where the method breaks down; of fractions if exact.

    Raises
    ------
    UsageError
        The equation as stored has no two real roots, or its coefficients are no finite numbers of the format.

    Notes
    -----
    None of the methods helps where ``b*b`` and ``4*a*c`` themselves cancel, near a double root: that takes twice the
    digits, or a fused multiply-add.

    References
    ----------
    W. Kahan, On the cost of floating-point computation without extra-precise arithmetic, 2004. G. E. Forsythe,
    How do you solve a quadratic equation?, Stanford CS-TR-66-40, 1966.

    Examples
    --------
    >>> solve_quadratic(1, -1e8, 1).small, solve_quadratic(1, -1e8, 1, method="stable").small
    (7.450580596923828e-09, 1e-08)
    >>> [solve_quadratic(1, "-1e200", 1, method=name).large for name in METHODS]
    [inf, inf, 1e+200]
    """
    op = Arithmetic(fmt)
    a, b, c = (_stored(name, value, op) for name, value in (("a", a), ("b", b), ("c", c)))
    _check_real_roots(a, b, c)
    if method == "exact":
        return _exact_roots(*map(Fraction, (a, b, c)))
    if method not in METHODS:
        raise UsageError(
            f"solve_quadratic: method is one of {', '.join(METHODS)}, exact; not {method!r}: pass one of them."
        )
    sign = 1.0 if b >= 0 else -1.0
    if method == "textbook":
        root = op.sqrt(op.sub(op.mul(b, b), op.mul(op.mul(4, a), c)))
        return Roots(*(float(op.div(op.add(-b, s * root), op.mul(2, a))) for s in (sign, -sign)))
    if method == "stable":
        root = op.sqrt(op.sub(op.mul(b, b), op.mul(op.mul(4, a), c)))
        q = op.div(-op.add(b, sign * root), 2)
    else:
        q = _scaled_q(a, b, c, sign, op)
    return Roots(float(op.div(c, q)), float(op.div(q, a)))


def _stored(name: str, value, op: Arithmetic) -> float:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        value = Fraction(int(value))
    stored = float(op.round(value))
    if not np.isfinite(stored):
        raise UsageError(
            f"solve_quadratic: {name} is {value} and no finite number of {op.fmt.name}: pass a smaller one."
        )
    return stored


def _check_real_roots(a: float, b: float, c: float) -> None:
    if a == 0:
        raise UsageError("solve_quadratic: a is 0, so this is no quadratic equation; its root is -c/b: pass another a.")
    if Fraction(b) ** 2 <= 4 * Fraction(a) * Fraction(c):
        raise UsageError(
            f"solve_quadratic: the equation has two real roots where b*b > 4*a*c, but a={a:g}, b={b:g}, c={c:g}: "
            f"pass a larger b, or a and c of different sign."
        )


def _scaled_q(a: float, b: float, c: float, sign: float, op: Arithmetic) -> np.ndarray:
    """The stable q: a, c of about equal size and the largest of a, b, c about 1 while the root is taken."""
    shift = int((np.frexp(c)[1] - np.frexp(a)[1]) // 2) if c else 0  # x = 2**shift * y
    exponents = [np.frexp(a)[1] + 2 * shift, np.frexp(b)[1] + shift, np.frexp(c)[1]]
    most = int(max(e for e, value in zip(exponents, (a, b, c), strict=True) if value))
    # Scaling by powers of 2 rounds nothing but what becomes too small to matter beside 1.
    a, b, c = (op.round(np.ldexp(value, s)) for value, s in ((a, 2 * shift - most), (b, shift - most), (c, -most)))
    root = op.sqrt(op.sub(op.mul(b, b), op.mul(op.mul(4, a), c)))
    q = op.div(-op.add(b, sign * root), 2)
    return op.round(np.ldexp(q, most - shift))


def _exact_roots(a: Fraction, b: Fraction, c: Fraction) -> Roots:
    q = -(b + (1 if b >= 0 else -1) * sqrt_to_round(b * b - 4 * a * c, ROOT_BITS)) / 2
    return Roots(c / q, q / a)


def quadratic_sweep(*, fmt: str | Format = "binary64", largest_power: int | None = None, a=1, c=1) -> ErrorCurves:
    """The relative error of the small root of ``a x**2 - b x + c`` while b grows.

    Parameters
    ----------
    fmt : str or Format
    largest_power : int, optional
        b runs from about 3 to ``1.3 * 2**largest_power``; by default, and at most, a little below the largest number of
        the format.
    a, c : number or str

    Returns
    -------
    ErrorCurves
        Over b; the methods are ``METHODS``. The bound is the unit roundoff times ``b**2 / (a c)``: what cancels.

    Examples
    --------
    >>> curves = quadratic_sweep(fmt="binary16")
    >>> float(curves["textbook"].errors[6]), bool(curves["stable"].errors[6] < 0.001)  # b = 166
    (1.0, True)
    >>> float(curves["stable"].errors[7]), bool(curves["stable and scaled"].errors[7] < 0.001)  # b*b > 65504
    (1.0, True)
    """
    op = Arithmetic(fmt)
    most = op.fmt.max_exponent - 1
    largest_power = most if largest_power is None else largest_power
    check_whole("quadratic_sweep", "largest_power", largest_power, 2, most)
    step = max(1, largest_power // 150)
    bs = [float(op.round(1.3 * 2.0**k)) for k in range(1, largest_power + 1, step)]
    roots = {name: [] for name in METHODS}
    exact = []
    for b in bs:
        exact.append(solve_quadratic(a, -b, c, method="exact", fmt=fmt).small)
        for name, found in roots.items():
            found.append(solve_quadratic(a, -b, c, method=name, fmt=fmt).small)
    size = abs(float(op.round(Fraction(a))) * float(op.round(Fraction(c))))
    with np.errstate(over="ignore"):
        cancelled = op.unit_roundoff * np.array(bs) ** 2 / size
    return ErrorCurves(
        op.fmt, "b", np.array(bs), np.array([float(x) for x in exact]),
        tuple(curve(name, found, exact) for name, found in roots.items()),
        bounds=(("u b² / ac", np.where(cancelled <= 1, cancelled, np.nan)),),
    )
