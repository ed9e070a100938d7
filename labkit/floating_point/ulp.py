"""Units in the last place: spacing, neighbours, distances, and how far a stored number is from the one typed.

The numbers of a format lie in the order of their codes, so neighbours and distances are whole-number arithmetic:
a number's *position* is the code of its magnitude, negative for negative numbers. Both zeros have position 0, the
smallest positive number 1, an infinity one more than the largest number.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.codec import check_codes, code_dtype, decode, decode_exact, encode
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.texts import exact_decimal, exact_number


def ulp(values, fmt: str | Format = "binary64"):
    """The spacing of the format's numbers where the values lie: ``2**(exponent - significand_bits)``.

    Parameters
    ----------
    values : float, Fraction, str, or array_like of float, any shape
        They need not be numbers of the format. Below the smallest normal number, and at 0, the spacing is that of the
        subnormal numbers; beyond the largest number it is the largest spacing.
    fmt : str or Format

    Returns
    -------
    float or ndarray of float64, same shape
        NaN for infinities and NaN. An exact number gives a Fraction.

    Examples
    --------
    >>> ulp(1.0, "binary16"), ulp([0.0, 1.9, 2.0, 500.0], "E4M3").tolist(), ulp("1/3", "E2M1")
    (0.0009765625, [0.001953125, 0.125, 0.25, 32.0], Fraction(1, 2))
    """
    fmt = find_format(fmt)
    if isinstance(values, (str, Fraction)):
        number = exact_number(values)[0]
        if not isinstance(number, Fraction):
            raise UsageError(f"ulp: only a finite number has a last place, not {values!r}: pass another number.")
        return _ulp_exact(number, fmt)
    array = np.asarray(values, np.float64)
    exponent = np.frexp(array)[1].astype(np.int64) - 1
    exponent = np.where(array == 0, fmt.min_exponent, np.clip(exponent, fmt.min_exponent, fmt.max_exponent))
    spacing = np.where(np.isfinite(array), np.ldexp(1.0, exponent - fmt.significand_bits), np.nan)
    return spacing if array.ndim else float(spacing)


def _ulp_exact(number: Fraction, fmt: Format) -> Fraction:
    magnitude = abs(number)
    exponent = fmt.min_exponent
    if magnitude:
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        exponent -= magnitude < Fraction(2) ** exponent
    return Fraction(2) ** (min(max(exponent, fmt.min_exponent), fmt.max_exponent) - fmt.significand_bits)


def _positions(codes, fmt: Format) -> tuple[np.ndarray, np.ndarray]:
    """Positions of codes, and where they are NaN."""
    codes = check_codes(codes, fmt).astype(np.uint64)
    magnitude = codes & np.uint64((1 << (fmt.exponent_bits + fmt.significand_bits)) - 1)
    is_nan = magnitude > np.uint64(fmt.max_code + fmt.infinities)
    negative = (codes & np.uint64(fmt.sign_bit)) != 0
    if fmt.nan == "minus_zero":
        is_nan = codes == np.uint64(fmt.sign_bit)
    positions = magnitude.astype(np.int64)
    return np.where(negative, -positions, positions), is_nan


def next_up(codes, fmt: str | Format):
    """The codes of the next larger numbers.

    Above the largest number comes infinity; where a format has none, the largest number stays. Infinity and NaN stay.
    Below zero comes minus the smallest number, whose next is minus zero, as IEEE 754 has it.

    Parameters
    ----------
    codes : int or array_like of int, any shape
    fmt : str or Format

    Returns
    -------
    int or ndarray of unsigned int, same shape

    Examples
    --------
    >>> hex(next_up(0x7BFF, "binary16")), next_up([0b0000, 0b0111, 0b1001], "E2M1").tolist()
    ('0x7c00', [1, 7, 8])
    """
    return _moved(codes, find_format(fmt), 1)


def next_down(codes, fmt: str | Format):
    """The codes of the next smaller numbers; see :func:`next_up`.

    Examples
    --------
    >>> next_down([0b0000, 0b1000, 0b0001, 0b1111], "E2M1").tolist()
    [9, 9, 0, 15]
    """
    return _moved(codes, find_format(fmt), -1)


def _moved(codes, fmt: Format, step: int):
    positions, is_nan = _positions(codes, fmt)
    last = fmt.max_code + fmt.infinities
    moved = np.clip(positions + step, -last if fmt.signed else 0, last)
    # To zero from below is to minus zero, where there is one.
    negative = (moved < 0) | ((moved == 0) & (positions < 0) & (fmt.nan != "minus_zero"))
    found = np.abs(moved).astype(np.uint64) | np.where(negative, np.uint64(fmt.sign_bit), np.uint64(0))
    found = np.where(is_nan, np.asarray(codes).astype(np.uint64), found).astype(code_dtype(fmt))
    return found if np.ndim(codes) else int(found)


def ulp_distance(codes, other_codes, fmt: str | Format):
    """How many steps from a number to its neighbour lead from one code to the other.

    Parameters
    ----------
    codes, other_codes : int or array_like of int
        Shapes that NumPy broadcasts.
    fmt : str or Format

    Returns
    -------
    int or ndarray of uint64
        0 between the two zeros, and 1 from the largest number to infinity.

    Raises
    ------
    UsageError
        A code is NaN, which lies nowhere.

    Examples
    --------
    >>> ulp_distance(encode(0.1 + 0.2, "binary64"), encode(0.3, "binary64"), "binary64")
    1
    >>> ulp_distance(0x0001, 0x8001, "binary16")
    2
    """
    fmt = find_format(fmt)
    (a, a_nan), (b, b_nan) = _positions(codes, fmt), _positions(other_codes, fmt)
    if a_nan.any() or b_nan.any():
        raise UsageError(
            f"ulp_distance: a NaN has no place among the numbers of {fmt.name}, but {int(a_nan.sum() + b_nan.sum())} "
            f"of the codes are NaN: leave them out first."
        )
    with np.errstate(over="ignore"):  # modulo 2**64, where a distance always fits: in binary64 it may need 64 bits
        distance = np.maximum(a, b).astype(np.uint64) - np.minimum(a, b).astype(np.uint64)
    return distance if np.ndim(distance) else int(distance)


@dataclass(frozen=True, slots=True)
class Stored:
    """A typed number, and what a format makes of it.

    Attributes
    ----------
    text : str
        As typed.
    fmt : Format
    rounding : str
    typed : Fraction or float or None
        Exactly what was typed; infinity as a float, None for NaN.
    code : int
    value : Fraction or float
        Exactly what is stored; infinity and NaN as floats.
    decimal : str
        All its decimal digits.
    below, above : Fraction or None
        The neighbours of the stored number; None where there is no finite one.
    ulp : Fraction or None
        The spacing at the typed number.
    error_ulp : Fraction or None
        Stored minus typed, in units of ``ulp``; None where one of them is no finite number.
    """

    text: str
    fmt: Format
    rounding: str
    typed: Fraction | float | None
    code: int
    value: Fraction | float
    decimal: str
    below: Fraction | None
    above: Fraction | None
    ulp: Fraction | None
    error_ulp: Fraction | None


def store(
    text, fmt: str | Format, *, rounding: str = "ties_to_even", saturate: bool | None = None, seed: int | None = None
) -> Stored:
    """What a format makes of a typed number: code, exact value, neighbours, error in ulp.

    Parameters
    ----------
    text : str, Fraction, Decimal, int or float
    fmt : str or Format
    rounding, saturate, seed
        As in :func:`labkit.floating_point.codec.encode`.

    Examples
    --------
    >>> tenth = store("0.1", "binary16")
    >>> tenth.value, tenth.decimal, tenth.error_ulp
    (Fraction(819, 8192), '0.0999755859375', Fraction(-2, 5))
    """
    fmt = find_format(fmt)
    typed, _ = exact_number(text)
    code = encode(text, fmt, rounding=rounding, saturate=saturate, seed=seed)
    value = _value(code, fmt)
    below, above = (_value(move(code, fmt), fmt) for move in (next_down, next_up))
    finite = isinstance(value, Fraction)
    spacing = _ulp_exact(typed, fmt) if isinstance(typed, Fraction) else None
    return Stored(
        text=str(text), fmt=fmt, rounding=rounding, typed=typed, code=code, value=value,
        decimal=_decimal(code, value), ulp=spacing,
        below=below if isinstance(below, Fraction) and below != value else None,
        above=above if isinstance(above, Fraction) and above != value else None,
        error_ulp=(value - typed) / spacing if finite and spacing is not None else None,
    )


def _value(code: int, fmt: Format) -> Fraction | float:
    value = decode(code, fmt)
    return decode_exact(code, fmt) if np.isfinite(value) else value


def _decimal(code: int, value: Fraction | float) -> str:
    if not isinstance(value, Fraction):
        return str(value)
    return "-0" if value == 0 and code else exact_decimal(value)
