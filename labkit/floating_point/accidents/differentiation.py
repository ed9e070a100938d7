"""Numerical differentiation: a smaller step is better, until rounding takes over."""

from __future__ import annotations

import difflib
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import ErrorCurves, check_real, check_whole, curve
from labkit.floating_point.emulated import Arithmetic, exact_fraction
from labkit.floating_point.formats import Format

METHODS = ("forward", "central", "complex step")
MOST_HALVINGS = 1000
WORKING_BITS = 1200  # a step of 2**-1000 beside 1 must not be lost in f(x + h)


def _squire_trapp(mp, z):
    return mp.exp(z) / mp.sqrt(mp.sin(z) ** 3 + mp.cos(z) ** 3)


FUNCTIONS = {
    "exp": lambda mp, z: mp.exp(z),
    "sin": lambda mp, z: mp.sin(z),
    "1/x": lambda mp, z: 1 / z,
    "sqrt": lambda mp, z: mp.sqrt(z),
    "exp/sqrt(sin^3+cos^3)": _squire_trapp,
}


def differentiate(
    function: str = "exp", x: float = 1.0, *, fmt: str | Format = "binary64", num_halvings: int = 60
) -> ErrorCurves:
    """The relative error of a derivative against the step, for three difference quotients.

    ``(f(x+h) - f(x)) / h`` is wrong by about ``h f''/2`` and, for f is known to the unit roundoff u only, by
    ``2u f/h``; the sum is smallest at ``h = 2 sqrt(u f/f'')``. ``(f(x+h) - f(x-h)) / 2h`` is wrong by ``h**2 f'''/6``
    and ``u f/h``, smallest at ``cbrt(3u f/f''')``. The complex step ``Im f(x + ih) / h`` subtracts nothing, so that h may
    be tiny.

    Parameters
    ----------
    function : str
        One of ``FUNCTIONS``.
    x : float
        0.01 to 10, rounded to the format; where the function is defined.
    fmt : str or Format
    num_halvings : int
        The steps are 1/2, 1/4, ..., 2**-num_halvings (up to 1000), as far as the format has them.

    Returns
    -------
    ErrorCurves
        Over the step; the methods are ``METHODS``, with the bounds and best steps of the first two by theory.

    Notes
    -----
    The function is computed exactly (by mpmath) and rounded once to the format, real and imaginary part each: the best
    library there can be. All else is rounded after every operation. Where ``x + h`` is rounded to x, the real quotients
    are 0 and the error is 1.

    References
    ----------
    W. Squire, G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review 40, 1998.
    W. H. Press et al., Numerical Recipes, section 5.7.

    Examples
    --------
    >>> curves = differentiate("exp", 1.0)
    >>> [float(f"{np.nanmin(method.errors):.0e}") < 1e-7 for method in curves.curves]
    [True, True, True]
    >>> best = {name: f"{step:.1e}" for name, step in curves.optima}
    >>> best
    {'forward': '2.1e-08', 'central': '6.9e-06'}
    """
    import mpmath

    if function not in FUNCTIONS:
        near = difflib.get_close_matches(str(function), FUNCTIONS, 1)
        nearest = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"differentiate: there is no function {function!r}: {nearest}The functions are {', '.join(FUNCTIONS)}."
        )
    check_real("differentiate", "x", x, 0.01, 10)
    check_whole("differentiate", "num_halvings", num_halvings, 2, MOST_HALVINGS)
    op = Arithmetic(fmt)
    x = float(op.round(float(x)))
    steps = [2.0**-k for k in range(1, num_halvings + 1) if Fraction(1, 2**k) >= op.fmt.min_subnormal]
    with mpmath.workprec(WORKING_BITS):
        f = _in_format(FUNCTIONS[function], op, mpmath)
        _check_defined(function, FUNCTIONS[function](mpmath, mpmath.mpf(x)), x)
        derivatives = [mpmath.diff(lambda z: FUNCTIONS[function](mpmath, z), mpmath.mpf(x), n) for n in range(4)]
        at_x = f(x)
        values = {name: [] for name in METHODS}
        for h in steps:
            right, left = f(float(op.add(x, h))), f(float(op.sub(x, h)))
            values["forward"].append(float(op.div(op.sub(right, at_x), h)))
            values["central"].append(float(op.div(op.sub(right, left), op.mul(2, h))))
            values["complex step"].append(float(op.div(f(x, h), h)))
        exact = [exact_fraction(mpmath.re(derivatives[1]))] * len(steps)
        f0, f1, f2, f3 = (abs(float(mpmath.re(d))) for d in derivatives)
    h, u = np.array(steps), op.unit_roundoff
    return ErrorCurves(
        op.fmt, "step h", h, np.full(len(h), float(exact[0])),
        tuple(curve(name, found, exact) for name, found in values.items()),
        bounds=(
            ("forward: h f''/2 + 2u f/h", (h * f2 / 2 + 2 * u * f0 / h) / f1),
            ("central: h² f'''/6 + u f/h", (h * h * f3 / 6 + u * f0 / h) / f1),
        ),
        optima=(("forward", 2 * (u * f0 / f2) ** 0.5), ("central", (3 * u * f0 / f3) ** (1 / 3))),
    )


def _in_format(function, op: Arithmetic, mpmath):
    """The function with its result rounded: ``f(x)``, or the imaginary part of ``f(x + ih)``."""

    def rounded(x: float, h: float = 0.0) -> float:
        try:
            value = function(mpmath, mpmath.mpc(x, h) if h else mpmath.mpf(x))
        except ZeroDivisionError:
            return float("nan")
        if h == 0 and isinstance(value, mpmath.mpc):
            return float("nan")  # a step led to where the function is not real
        value = mpmath.im(value) if h else value
        return float(op.round(exact_fraction(value))) if mpmath.isfinite(value) else float("nan")

    return rounded


def _check_defined(name: str, value, x: float) -> None:
    if getattr(value, "imag", 0) != 0:
        raise UsageError(f"differentiate: {name} is not real at x={x:g}: pass a smaller x, such as 1.")
