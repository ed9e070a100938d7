"""What a code says: its fields, the exact value in several writings, neighbours; and codes from what people type."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import check_codes, decode, decode_exact
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.texts import exact_decimal
from labkit.floating_point.ulp import Stored, next_down, next_up, store

_CODE = re.compile(r"\s*0([xXbB])([0-9a-fA-F_]+)\s*")


@dataclass(frozen=True, slots=True)
class Reading:
    """A code, read.

    Attributes
    ----------
    code : int
    fmt : Format
    kind : str
        ``"zero"``, ``"subnormal"``, ``"normal"``, ``"infinity"`` or ``"NaN"``.
    value : Fraction or float
        Exactly; infinity and NaN as floats.
    decimal : str
        All digits.
    rational : str
        In lowest terms; a power of 2 below the line is written as such where it is long. "" for infinity and NaN.
    binary : str
        ``"-1.01 x 2^3"``, the significand with all its bits; "" for infinity and NaN.
    spacing : Fraction or None
        Distance of the numbers where this one lies; None for infinity and NaN.
    below, above : tuple of (int, str)
        Codes and decimals of the neighbours; the same code where there is none.
    """

    code: int
    fmt: Format
    kind: str
    value: Fraction | float
    decimal: str
    rational: str
    binary: str
    spacing: Fraction | None
    below: tuple[int, str]
    above: tuple[int, str]


def read_code(code: int, fmt: str | Format) -> Reading:
    """All about a code.

    Raises
    ------
    UsageError
        No such format, or too many bits.

    Examples
    --------
    >>> found = read_code(0x2E66, "binary16")
    >>> found.kind, found.decimal, found.rational, found.binary
    ('normal', '0.0999755859375', '819/8192', '1.1001100110 x 2^-4')
    >>> found.below, found.above
    ((11877, '0.09991455078125'), (11879, '0.10003662109375'))
    >>> read_code(0xFC01, "binary16").kind, read_code(0x8001, "binary16").binary
    ('NaN', '-0.0000000001 x 2^-14')
    """
    fmt = find_format(fmt)
    code = int(check_codes(code, fmt))
    value = decode(code, fmt)
    below, above = ((other, _decimal(other, fmt)) for other in (int(next_down(code, fmt)), int(next_up(code, fmt))))
    if not np.isfinite(value):
        kind = "NaN" if np.isnan(value) else "infinity"
        return Reading(code, fmt, kind, value, _decimal(code, fmt), "", "", None, below, above)
    exact = decode_exact(code, fmt)
    biased = (code & ~fmt.sign_bit) >> fmt.significand_bits
    trailing = code & ((1 << fmt.significand_bits) - 1)
    exponent = max(biased, 1) - fmt.bias
    sign = "-" if code & fmt.sign_bit else ""
    digits = f".{trailing:0{fmt.significand_bits}b}" if fmt.significand_bits else ""
    return Reading(
        code, fmt, "zero" if exact == 0 else "normal" if biased else "subnormal", exact, _decimal(code, fmt),
        rational_text(exact), f"{sign}{int(biased > 0)}{digits} x 2^{exponent}",
        Fraction(2) ** (exponent - fmt.significand_bits), below, above,
    )


def rational_text(value: Fraction) -> str:
    """A fraction in lowest terms; long powers of 2 as powers.

    Examples
    --------
    >>> rational_text(Fraction(-3, 8)), rational_text(Fraction(5, 2**70)), rational_text(Fraction(3 * 2**80))
    ('-3/8', '5/2^70', '3 * 2^80')
    """
    if value.denominator > 2**40:
        return f"{value.numerator}/2^{value.denominator.bit_length() - 1}"
    if abs(value) > 2**60:
        shift = (value.numerator & -value.numerator).bit_length() - 1
        return f"{value.numerator >> shift} * 2^{shift}" if shift else str(value)
    return str(value)


def _decimal(code: int, fmt: Format) -> str:
    value = decode(code, fmt)
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "infinity" if value > 0 else "-infinity"
    exact = decode_exact(code, fmt)
    return "-0" if exact == 0 and code else exact_decimal(exact)


def code_of_text(text: str, fmt: str | Format) -> int | None:
    """The code that "0x3c00" or "0b01" says; None for a text that begins with neither.

    Raises
    ------
    UsageError
        Digits that are none, or more bits than the format has.

    Examples
    --------
    >>> code_of_text("0x3C00", "binary16"), code_of_text(" 0b0_0101 ", "E2M1"), code_of_text("1.5", "E2M1")
    (15360, 5, None)
    """
    fmt = find_format(fmt)
    if text.strip()[:2].lower() not in ("0x", "0b"):
        return None
    found = _CODE.fullmatch(text)
    try:
        code = int(found[2], 16 if found[1] in "xX" else 2)
    except (TypeError, ValueError):
        raise UsageError(
            f"{text.strip()[:40]!r} is no code: type 0x and hexadecimal digits, or 0b and binary ones, such as "
            f"{fmt.max_code:#x} for the largest number of {fmt.name}."
        ) from None
    if code >> fmt.num_bits:
        raise UsageError(
            f"{fmt.name} has {fmt.num_bits} bits, but {text.strip()[:40]} has {code.bit_length()}: type at most "
            f"{2**fmt.num_bits - 1:#x}, or choose a wider format."
        )
    return code


def stored_code(code: int, fmt: str | Format) -> Stored:
    """A code as :class:`Stored`: its own value typed, without an error.

    Examples
    --------
    >>> stored_code(0x7E01, "binary16").code, stored_code(0x3C00, "binary16").text
    (32257, '1')
    """
    fmt = find_format(fmt)
    reading = read_code(code, fmt)
    if isinstance(reading.value, Fraction):
        # A typed "-0" keeps its sign, a fraction of 0 has none.
        found = store("-0" if reading.decimal == "-0" else reading.value, fmt)
        return replace(found, text=reading.decimal, code=reading.code)
    found = store(reading.value, fmt)
    return replace(found, text=reading.decimal, code=reading.code)
