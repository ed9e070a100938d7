"""Two computations whose every digit is wrong: Muller's recurrence and Rump's polynomial."""

from __future__ import annotations

import math
from fractions import Fraction

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import check_whole
from labkit.floating_point.codec import decode, decode_exact, encode
from labkit.floating_point.formats import Format, find_format

MOST_STEPS = 1000


class _NotFinite(Exception):
    """A result that the format has no finite number for."""


def _in_format(fmt: Format):
    """A function that rounds an exact number to the format."""

    def rounded(number: Fraction) -> Fraction:
        code = encode(number, fmt)
        if not math.isfinite(decode(code, fmt)):
            raise _NotFinite
        return decode_exact(code, fmt)

    return rounded


def muller(num_steps: int = 30, *, fmt: str | Format | None = "binary64") -> list[Fraction]:
    """Muller's recurrence, ``x[n+1] = 108 - (815 - 1500/x[n-1]) / x[n]`` from 4 and 4.25.

    Exactly it tends to 5. Every rounding adds a little of another solution, which tends to 100 and takes over.

    Parameters
    ----------
    num_steps : int
        Of the recurrence, 1 to 1000.
    fmt : str, Format or None
        Each operation is rounded to this format; None computes with fractions.

    Returns
    -------
    list of Fraction
        The two first values and those of the steps; it ends early where a value is 0 or too large for the format.

    References
    ----------
    J.-M. Muller, Arithmetique des ordinateurs, Masson, 1989.

    Examples
    --------
    >>> [round(float(muller(30, fmt=fmt)[-1]), 3) for fmt in (None, "binary32", "binary64")]
    [5.0, 100.0, 100.0]
    """
    check_whole("muller", "num_steps", num_steps, 1, MOST_STEPS)
    r = Fraction if fmt is None else _in_format(find_format(fmt))
    values = [Fraction(4), Fraction(17, 4)]
    try:
        for _ in range(num_steps):
            before, last = values[-2:]
            values.append(r(108 - r(r(815 - r(Fraction(1500) / before)) / last)))
    except (_NotFinite, ZeroDivisionError):
        pass
    return values


def rump(a: int = 77617, b: int = 33096, *, fmt: str | Format | None = "binary64") -> Fraction | None:
    """Rump's polynomial, ``333.75 b^6 + a^2 (11 a^2 b^2 - b^6 - 121 b^4 - 2) + 5.5 b^8 + a / (2b)``.

    Terms of 37 digits cancel and leave -0.827...; a format with fewer digits leaves what its roundings leave.

    Parameters
    ----------
    a, b : int
    fmt : str, Format or None
        Each operation is rounded to this format, powers as repeated multiplications by the square; None computes with
        fractions.

    Returns
    -------
    Fraction or None
        None where a term is too large for the format.

    References
    ----------
    S. M. Rump, Algorithms for verified inclusions, in: Reliability in Computing, Academic Press, 1988.

    Examples
    --------
    >>> float(rump(fmt=None)), rump(fmt="binary16")
    (-0.8273960599468214, None)
    """
    check_whole("rump", "a", a, -(10**9), 10**9)
    check_whole("rump", "b", b, -(10**9), 10**9)
    if b == 0:
        raise UsageError("rump: the polynomial divides by 2b, but b is 0: pass another b.")
    r = Fraction if fmt is None else _in_format(find_format(fmt))
    try:
        a, b = r(Fraction(a)), r(Fraction(b))
        a2, b2 = r(a * a), r(b * b)
        b4 = r(b2 * b2)
        b6 = r(b4 * b2)
        b8 = r(b6 * b2)
        inner = r(r(r(r(r(11 * a2) * b2) - b6) - r(121 * b4)) - 2)
        total = r(r(r(Fraction(1335, 4)) * b6) + r(a2 * inner))
        return r(r(total + r(Fraction(11, 2) * b8)) + r(a / r(2 * b)))
    except (_NotFinite, ZeroDivisionError):
        return None
