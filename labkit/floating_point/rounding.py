"""The six rounding modes, on whole numbers.

A number is ``kept + remainder / 2**shift`` units of the last place, with ``0 <= remainder < 2**shift``. A mode
decides whether ``kept`` becomes one more. No floating-point arithmetic is involved, so nothing is rounded twice.
"""

from __future__ import annotations

import difflib
from fractions import Fraction

from labkit.errors import UsageError

# The numbers are what the compiled loops of labkit.floating_point.kernels compare with.
TIES_TO_EVEN, TIES_AWAY, TOWARD_ZERO, UP, DOWN, STOCHASTIC = range(6)
MODES = {
    "ties_to_even": TIES_TO_EVEN, "ties_away": TIES_AWAY, "toward_zero": TOWARD_ZERO, "up": UP, "down": DOWN,
    "stochastic": STOCHASTIC,
}
STOCHASTIC_BITS = 63  # of a random number; a probability of rounding away is exact to 2**-63


def find_mode(name: str) -> int:
    """The number of a rounding mode.

    Raises
    ------
    UsageError
        No such mode; the message has the nearest name.
    """
    if isinstance(name, str) and name in MODES:
        return MODES[name]
    near = difflib.get_close_matches(str(name), MODES, 1)
    nearest = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"no rounding mode is called {name!r}: {nearest}There are {', '.join(MODES)}.")


def rounds_away(mode: int, negative: bool, odd: bool, part: Fraction, random: int = 0) -> bool:
    """Whether the magnitude becomes the next larger one.

    Parameters
    ----------
    mode : int
        One of ``MODES``.
    negative : bool
        Sign of the number.
    odd : bool
        Whether the code of the magnitude below is odd.
    part : Fraction
        How much of the way from the magnitude below to the one above, at least 0 and below 1.
    random : int
        For stochastic rounding: uniform from 0 to ``2**63 - 1``.

    Examples
    --------
    >>> rounds_away(TIES_TO_EVEN, False, True, Fraction(1, 2)), rounds_away(DOWN, True, False, Fraction(1, 9))
    (True, True)
    """
    if part == 0 or mode == TOWARD_ZERO:
        return False
    if mode == UP:
        return not negative
    if mode == DOWN:
        return negative
    if mode == STOCHASTIC:
        return random < int(part * 2**STOCHASTIC_BITS)
    return part > Fraction(1, 2) or (part == Fraction(1, 2) and (mode == TIES_AWAY or odd))
