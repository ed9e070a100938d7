"""What the bit editor says of a number, line by line."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

from labkit.floating_point.reading import Reading, rational_text
from labkit.floating_point.texts import exact_decimal
from labkit.floating_point.ulp import Stored


def readings(reading: Reading, stored: Stored) -> list[tuple[str, str]]:
    """Label and text of each line below the bits; lines without text are left out."""
    fmt = reading.fmt
    widths = f"{int(fmt.signed)} + {fmt.exponent_bits} + {fmt.significand_bits}"
    rows = [
        ("format", f"{fmt.name}: {widths} bits, bias {fmt.bias}"),
        ("this is", f"{'-' if reading.code & fmt.sign_bit and reading.kind == 'infinity' else ''}{reading.kind}"),
        ("exact value", reading.decimal), ("as a fraction", reading.rational), ("in binary", reading.binary),
        ("spacing here", "" if reading.spacing is None else _number(reading.spacing)),
        ("next below", "" if reading.below[0] == reading.code else short(reading.below[1])),
        ("next above", "" if reading.above[0] == reading.code else short(reading.above[1])),
    ]
    if stored.error_ulp is not None and stored.error_ulp != 0:
        error = stored.value - stored.typed
        relative = f"; relative {float(error / stored.typed):+.3g}" if stored.typed else ""
        rows += [
            ("typed", short(stored.text, 200)),
            ("error", f"{_rounded(error)}, which is {_rounded(stored.error_ulp)} ulp{relative}"),
        ]
    elif stored.error_ulp == 0:
        rows.append(("error", "none: the number is one of the format"))
    elif stored.typed is not None and not isinstance(stored.value, float):
        rows.append(("error", "infinite: the number is infinity, what is stored is not"))
    elif isinstance(stored.typed, Fraction):
        rows += [("typed", short(stored.text, 200)), ("error", f"beyond the largest number, {_number(fmt.max)}")]
    return rows


def _number(value: Fraction) -> str:
    text = rational_text(value)
    decimal = exact_decimal(value)
    return text if len(decimal) > 40 or text == decimal else f"{text} = {decimal}"


def _rounded(value: Fraction) -> str:
    """Six digits, also of numbers that binary64 does not have."""
    try:
        found = float(value)
    except OverflowError:
        found = 0.0
    if found:
        return f"{found:+.6g}"
    context = Context(prec=6, Emin=-999_999, Emax=999_999)
    return f"{context.divide(Decimal(value.numerator), Decimal(value.denominator)):+}"


def short(text: str, most: int = 60) -> str:
    """A text, cut off where it is long."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
