"""Accidents of rounding, each as an experiment beside exact arithmetic.

Every function gives plain values; nothing in them is taken from a report. What the reports say is in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, decode_exact, encode
from labkit.floating_point.formats import Format, find_format

TICKS_PER_S = 10
SCUD_SPEED_M_PER_S = 2000  # the metres of the report's table by its seconds
MOST_HOURS, MOST_STEPS, MOST_DAYS = 100_000, 1000, 1000


@dataclass(frozen=True, slots=True)
class ClockDrift:
    """The clock of a Patriot battery after some hours: seconds counted, lost, and how far its range gate is off."""

    hours: float
    counted_s: Fraction
    lost_s: Fraction
    shift_m: Fraction


def patriot(
    hours: Sequence[float] = (0, 1, 8, 20, 48, 72, 100), *, fraction_bits: int = 23,
    speed_m_per_s: float = SCUD_SPEED_M_PER_S,
) -> list[ClockDrift]:
    """The drift of a clock that adds up tenths of a second, cut off after some binary places.

    A battery counted tenths of a second in whole numbers, which is exact, and multiplied them with 0.1 as its
    register of 24 bits held it. 0.1 has no end in binary; what was cut off grew with the time since start.

    Parameters
    ----------
    hours : sequence of float
        Since the battery was started.
    fraction_bits : int
        Binary places of the stored 0.1, 1 to 200; 23 in the battery.

    speed_m_per_s : float
        Of the missile that is looked for.

    Notes
    -----
    The metres in the report's table are the lost seconds times 2000 m/s. With 1676 m/s, the speed that is often quoted
    for the Scud, the gate is off by 575 m after 100 hours, not by 687 m.

    References
    ----------
    United States General Accounting Office, Patriot Missile Defense, GAO/IMTEC-92-26, 1992, appendix II.

    Examples
    --------
    >>> [(round(float(row.lost_s), 4), round(row.shift_m)) for row in patriot([1, 100])]
    [(0.0034, 7), (0.3433, 687)]
    """
    _check("patriot", "fraction_bits", fraction_bits, 1, 200)
    tenth = Fraction(1, 10)
    stored = Fraction(tenth.numerator * 2**fraction_bits // tenth.denominator, 2**fraction_bits)
    rows = []
    for time_h in hours:
        if not isinstance(time_h, (int, float, Fraction)) or not 0 <= time_h <= MOST_HOURS:
            raise UsageError(f"patriot: hours run from 0 to {MOST_HOURS}, not {time_h!r}: pass hours since the start.")
        ticks = Fraction(time_h) * 3600 * TICKS_PER_S
        lost_s = ticks * (tenth - stored)
        rows.append(ClockDrift(time_h, ticks * stored, lost_s, lost_s * Fraction(speed_m_per_s)))
    return rows


@dataclass(frozen=True, slots=True)
class StockIndex:
    """An index after each day: exact, cut to 3 decimals at every update, and rounded to 3 decimals at every update."""

    exact: np.ndarray
    truncated: np.ndarray
    rounded: np.ndarray


def vancouver(
    num_days: int = 460, *, updates_per_day: int = 2800, start: float = 1000.0, drift_per_day: float = 0.2,
    seed: int = 1,
) -> StockIndex:
    """A stock index that is recomputed at every trade and kept with 3 decimals, cut off or rounded.

    Each trade moves the index by a random amount of about 0.01, known to 6 decimals. What is cut off is 0 to 0.001 and
    0.0005 in the mean, always downwards; rounding errs to both sides, and the errors cancel.

    Parameters
    ----------
    num_days : int
        1 to 1000; 22 months have about 460 days of trading.
    updates_per_day : int
        1 to 10000.
    start, drift_per_day : float
        The index at first, and by how much it rises in a day in the mean.
    seed : int
        Of the random trades.

    Returns
    -------
    StockIndex
        Arrays of shape (num_days,).

    References
    ----------
    B. D. McCullough, H. D. Vinod, The numerical reliability of econometric software, Journal of Economic Literature
    37, 1999.

    Examples
    --------
    >>> index = vancouver(10)
    >>> float(round((index.exact - index.truncated)[-1])), 10 * 2800 * 0.0005
    (14.0, 14.0)
    """
    _check("vancouver", "num_days", num_days, 1, MOST_DAYS)
    _check("vancouver", "updates_per_day", updates_per_day, 1, 10_000)
    _check("vancouver", "seed", seed, 0, 2**63)
    rng = np.random.default_rng(seed)
    moves = rng.normal(drift_per_day / updates_per_day, 0.01, (num_days, updates_per_day))
    millionths = np.rint(moves * 1e6).astype(np.int64)  # whole numbers from here: nothing below is rounded unasked
    # The kept index is a whole number of thousandths, so cutting the sum cuts the move.
    cut, nearest = millionths // 1000, (millionths + 500) // 1000
    return StockIndex(
        exact=start + millionths.sum(axis=1).cumsum() / 1e6,
        truncated=start + cut.sum(axis=1).cumsum() / 1e3,
        rounded=start + nearest.sum(axis=1).cumsum() / 1e3,
    )


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
    _check("muller", "num_steps", num_steps, 1, MOST_STEPS)
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
    _check("rump", "a", a, -(10**9), 10**9)
    _check("rump", "b", b, -(10**9), 10**9)
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


def _check(call: str, name: str, value, least: int, most: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{call}: {name} is a whole number from {least} to {most}, not {value!r}: pass such a one.")
