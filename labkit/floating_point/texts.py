"""Numbers as people write them, and exact numbers written out."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Integral, Rational

from labkit.errors import UsageError

MOST_DIGITS = 2000  # of a typed number
MOST_POWER = 5000  # of ten: far beyond every format, and still quick to compute with
LONGEST_PLAIN = 30  # zeros that are written before an exponent is used instead
_FRACTION = re.compile(r"\s*([+-]?\d+)\s*/\s*(\d+)\s*")


def exact_number(value) -> tuple[Fraction | float | None, bool]:
    """A value without any rounding: a fraction, ``math.inf`` of its sign, or None for NaN; and whether it is negative.

    Parameters
    ----------
    value : str, Fraction, Decimal, int or float
        A text is a decimal ("-1.5e-3"), a fraction ("1/3"), "inf" or "nan".

    Raises
    ------
    UsageError
        The text says no number, or one with far too many digits.

    Examples
    --------
    >>> exact_number("0.1"), exact_number(0.5), exact_number("-0")
    ((Fraction(1, 10), False), (Fraction(1, 2), False), (Fraction(0, 1), True))
    """
    if isinstance(value, (bool, Integral, Rational)):
        number = Fraction(int(value)) if isinstance(value, Integral) else Fraction(value.numerator, value.denominator)
        return number, number < 0
    if isinstance(value, str):
        value = _parse(value)
    if isinstance(value, Fraction):
        return value, value < 0
    if not isinstance(value, (Decimal, float)):
        try:
            value = float(value) if value.dtype.itemsize <= 8 else None
        except (AttributeError, TypeError, ValueError):
            value = None
        if value is None:
            raise UsageError(
                "a value is no number: pass a float, an integer, a fraction, a decimal or a text such as '0.1'."
            )
    negative = value.is_signed() if isinstance(value, Decimal) else math.copysign(1, value) < 0
    if value.is_nan() if isinstance(value, Decimal) else math.isnan(value):
        return None, negative
    if value in (math.inf, -math.inf):
        return float(value), negative
    if isinstance(value, Decimal) and value and (
        abs(value.adjusted()) > MOST_POWER or len(value.as_tuple().digits) > MOST_DIGITS
    ):
        raise UsageError(
            f"a decimal number has at most {MOST_DIGITS} digits and a power of ten up to {MOST_POWER}, but this one "
            f"has {len(value.as_tuple().digits)} digits and a power of {value.adjusted()}: type a shorter one."
        )
    return Fraction(value) if value else Fraction(0), negative


def _parse(text: str) -> Fraction | Decimal:
    wrong = UsageError(
        f"{text[:40]!r} is no number: type a decimal such as '0.1' or '-2.5e-3', a fraction such as '1/3', or 'inf', "
        f"'nan'."
    )
    if len(text) > MOST_DIGITS:
        raise UsageError(f"a typed number has at most {MOST_DIGITS} characters, not {len(text)}: type a shorter one.")
    fraction = _FRACTION.fullmatch(text)
    try:
        if fraction:
            return Fraction(int(fraction[1]), int(fraction[2]))
        return Decimal(text)
    except (InvalidOperation, ValueError, ZeroDivisionError):
        raise wrong from None


def exact_decimal(value: Fraction) -> str:
    """All digits of a fraction whose denominator is a power of two; it ends, since 1/2 is 5/10.

    Examples
    --------
    >>> exact_decimal(Fraction(819, 8192)), exact_decimal(Fraction(-3, 1)), exact_decimal(Fraction(1, 2**120))[:12]
    ('0.0999755859375', '-3', '7.5231638452')
    """
    power = value.denominator.bit_length() - 1
    if value.denominator != 1 << power:
        raise UsageError(
            f"{value} has no last decimal digit, for its denominator is no power of two: pass a value of a binary "
            f"format."
        )
    digits = str(abs(value.numerator) * 5**power)  # times 10**-power
    sign = "-" if value < 0 else ""
    if power == 0 and len(digits) <= LONGEST_PLAIN:
        return sign + digits
    exponent = len(digits) - 1 - power  # of the first digit
    if -LONGEST_PLAIN < exponent < LONGEST_PLAIN:
        padded = digits.rjust(power + 1, "0")
        return f"{sign}{padded[:-power]}.{padded[-power:]}" if power else sign + padded
    digits = digits.rstrip("0")
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{exponent:+d}"
