"""The Patriot battery at Dhahran, 1991: a tenth of a second that has no end in binary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import check_whole

TICKS_PER_S = 10
SCUD_SPEED_M_PER_S = 2000  # the metres of the report's table by its seconds
MOST_HOURS = 100_000


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
    check_whole("patriot", "fraction_bits", fraction_bits, 1, 200)
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
