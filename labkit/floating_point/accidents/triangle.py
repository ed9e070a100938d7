"""The area of a needle-like triangle: Heron's formula, and Kahan's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import ErrorCurves, check_whole, curve
from labkit.floating_point.emulated import Arithmetic, sqrt_to_round
from labkit.floating_point.formats import Format

METHODS = ("Heron", "Kahan")
AREA_BITS = 400
LONGEST = 3.0  # side of the triangles of the sweep
SHORT, LACKING = 1.3, 0.6  # the short side by a power of 2, and by how much of it the second side is below the longest


def triangle_area(a, b, c, *, method: str = "Heron", fmt: str | Format = "binary64") -> float | Fraction:
    """The area of a triangle from the lengths of its sides.

    Parameters
    ----------
    a, b, c : number or str
        Rounded to the format first.
    method : str
        ``"Heron"``: ``sqrt(s (s-a) (s-b) (s-c))`` with ``s = (a + b + c) / 2``; s is rounded, and then most of it
        cancels. ``"Kahan"``: ``sqrt((a+(b+c)) (c-(a-b)) (c+(a-b)) (a+(b-c))) / 4`` with ``a >= b >= c`` and these
        parentheses, right to a few units in the last place for every triangle. ``"exact"``: a fraction, right to 399
        bits.
    fmt : str or Format

    Raises
    ------
    UsageError
        The sides as stored make no triangle.

    References
    ----------
    W. Kahan, Miscalculating area and angles of a needle-like triangle, 1986, revised 2014.

    Examples
    --------
    >>> sides = "100000", "99999.99979", "0.00029"
    >>> [f"{float(triangle_area(*sides, method=name)):.12f}" for name in ("Heron", "Kahan", "exact")]
    ['9.999999809638', '10.000000077021', '10.000000077021']
    """
    op = Arithmetic(fmt)
    c, b, a = sorted(float(op.round(Fraction(side))) for side in (a, b, c))
    if not (0 < c and np.isfinite(a) and Fraction(a) < Fraction(b) + Fraction(c)):
        raise UsageError(
            f"triangle_area: each side is shorter than the two others together, but {op.fmt.name} has them as "
            f"{a:.17g}, {b:.17g} and {c:.17g}: pass other sides, or a format with more digits."
        )
    if method == "Heron":
        s = op.div(op.add(op.add(a, b), c), 2)
        return float(op.sqrt(op.mul(op.mul(op.mul(s, op.sub(s, a)), op.sub(s, b)), op.sub(s, c))))
    if method == "Kahan":
        factors = op.add(a, op.add(b, c)), op.sub(c, op.sub(a, b)), op.add(c, op.sub(a, b)), op.add(a, op.sub(b, c))
        product = op.mul(op.mul(op.mul(factors[0], factors[1]), factors[2]), factors[3])
        return float(op.div(op.sqrt(product), 4))
    if method == "exact":
        a, b, c = map(Fraction, (a, b, c))
        return sqrt_to_round((a + b + c) * (c - a + b) * (c + a - b) * (a + b - c) / 16, AREA_BITS)
    raise UsageError(f"triangle_area: method is Heron, Kahan or exact, not {method!r}: pass one of them.")


def needle_triangles(num_halvings: int | None = None, *, fmt: str | Format = "binary64") -> ErrorCurves:
    """The relative error of the area while a triangle becomes a needle.

    The longest side a is 3, the shortest c is 1.3 / 2, 1.3 / 4, ..., and b is ``a - 0.6 c``.

    Parameters
    ----------
    num_halvings : int, optional
        By default, and at most, as many as the format tells from a flat triangle.
    fmt : str or Format

    Returns
    -------
    ErrorCurves
        Over the shortest side; the methods are ``METHODS``. The bound of Heron is ``2u (1/(s-a) + 1/(s-b))``, what the
        rounding of s alone may do; that of Kahan ``11u``.

    References
    ----------
    D. Goldberg, What every computer scientist should know about floating-point arithmetic, ACM Computing Surveys 23,
    1991, theorem 3.

    Examples
    --------
    >>> curves = needle_triangles(fmt="binary32")
    >>> bool(curves["Heron"].errors.max() > 0.01), bool(curves["Kahan"].errors.max() < 11 * 2**-24)
    (True, True)
    """
    op = Arithmetic(fmt)
    most = op.fmt.significand_bits - 4
    if most < 1:
        raise UsageError(
            f"needle_triangles: {op.fmt.name} has too few digits for a needle: pass a wider format, such as bfloat16."
        )
    num_halvings = most if num_halvings is None else num_halvings
    check_whole("needle_triangles", "num_halvings", num_halvings, 1, most)
    a = float(op.round(LONGEST))
    short = [float(op.round(SHORT * 2.0**-k)) for k in range(1, num_halvings + 1)]
    sides = [(a, float(op.round(a - LACKING * c)), c) for c in short]
    exact = [triangle_area(*three, method="exact", fmt=fmt) for three in sides]
    u = op.unit_roundoff
    return ErrorCurves(
        op.fmt, "shortest side", np.array(short), np.array([float(area) for area in exact]),
        tuple(curve(name, [triangle_area(*three, method=name, fmt=fmt) for three in sides], exact) for name in METHODS),
        bounds=(
            ("2u (1/(s-a) + 1/(s-b))", np.array([2 * u * _steepness(*three) for three in sides])),
            ("11u", np.full(len(sides), 11 * u)),
        ),
    )


def _steepness(a: float, b: float, c: float) -> float:
    """``1/(s-a) + 1/(s-b)``."""
    a, b, c = map(Fraction, (a, b, c))
    return float(2 / (b + c - a) + 2 / (a + c - b))
