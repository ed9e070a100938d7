"""Archimedes' pi: the same recurrence written twice, and one of them loses everything."""

from __future__ import annotations

import numpy as np

from labkit.floating_point.accidents.arguments import ErrorCurves, check_whole, curve
from labkit.floating_point.emulated import Arithmetic, exact_fraction
from labkit.floating_point.formats import Format

MOST_DOUBLINGS = 200
GUARD_BITS = 64


def archimedes(num_doublings: int = 30, *, fmt: str | Format = "binary64") -> ErrorCurves:
    """Pi from polygons around a circle, whose sides double in number at each step.

    Half a side of the hexagon around the unit circle is ``t = 1 / sqrt(3)``, and the next polygon has
    ``(sqrt(t*t + 1) - 1) / t``. For small t that subtracts numbers that agree in almost all digits. Multiplied above
    and below by ``sqrt(t*t + 1) + 1`` it is ``t / (sqrt(t*t + 1) + 1)``, which subtracts nothing.

    Parameters
    ----------
    num_doublings : int
        1 to 200.
    fmt : str or Format
        Each operation is rounded to it.

    Returns
    -------
    ErrorCurves
        Over the number of doublings; the methods are ``"with the difference"`` and ``"with the sum"``. The bound is how
        far the exact polygon is from the circle. NaN where the half side has become 0.

    References
    ----------
    Archimedes, Measurement of a Circle. D. Goldberg, What every computer scientist should know about floating-point
    arithmetic, ACM Computing Surveys 23, 1991, on cancellation.

    Examples
    --------
    >>> curves = archimedes(26)
    >>> [f"{float(method.values[-1]):.9f}" for method in curves.curves]
    ['0.000000000', '3.141592654']
    """
    import mpmath

    check_whole("archimedes", "num_doublings", num_doublings, 1, MOST_DOUBLINGS)
    op = Arithmetic(fmt)
    first = op.div(1, op.sqrt(3))
    values = {"with the difference": [], "with the sum": []}
    for name, found in values.items():
        t = first
        for i in range(num_doublings + 1):
            found.append(op.mul(op.round(6.0 * 2.0**i), t))
            root = op.sqrt(op.add(op.mul(t, t), 1))
            t = op.div(op.sub(root, 1), t) if name == "with the difference" else op.div(t, op.add(root, 1))
    with mpmath.workprec(2 * num_doublings + op.fmt.precision + GUARD_BITS):
        pi = mpmath.mp.pi + 0
        polygons = [6 * mpmath.mpf(2) ** i * mpmath.tan(pi / 6 / 2**i) for i in range(num_doublings + 1)]
        outside = np.array([float(polygon / pi - 1) for polygon in polygons])
        exact = [exact_fraction(pi)] * (num_doublings + 1)
    return ErrorCurves(
        op.fmt, "doublings of the number of sides", np.arange(num_doublings + 1.0), np.full(num_doublings + 1, np.pi),
        tuple(curve(name, found, exact) for name, found in values.items()),
        bounds=(("exact polygon against the circle", outside),),
    )
