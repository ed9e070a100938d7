"""Between codes and values, for any format: ``decode`` and ``encode``.

Arrays of binary16, binary32 and binary64 numbers are encoded from their bit patterns by a compiled loop; exact
numbers (fractions, decimals, texts, large integers) one by one in whole numbers. Either way a number is rounded once.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Rational

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.casts import SOURCES, decode_array, encode_array, minus_zero, special_codes
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.rounding import STOCHASTIC, find_mode, rounds_away
from labkit.floating_point.texts import exact_number


def code_dtype(fmt: str | Format) -> np.dtype:
    """The smallest unsigned integer type of NumPy that holds the codes of a format."""
    num_bits = find_format(fmt).num_bits
    return np.dtype(next(f"u{size}" for size in (1, 2, 4, 8) if num_bits <= 8 * size))


def check_codes(codes, fmt: Format) -> np.ndarray:
    """Codes as an array of the format's type.

    Raises
    ------
    UsageError
        They are no whole numbers, or have more bits than the format.
    """
    array = np.asarray(codes)
    whole = array.dtype.kind in "iu"
    if array.dtype == object:  # whole numbers that are too large for NumPy's types, perhaps
        whole = all(isinstance(code, Integral) for code in array.flat)
    if array.size and not whole:
        raise UsageError(
            f"{fmt.name}: codes are whole numbers, not {array.dtype}: pass bits such as 0b0101; values become codes "
            f"with encode()."
        )
    dtype = code_dtype(fmt)
    if dtype.itemsize * 8 == fmt.num_bits and array.dtype == dtype:
        return array  # no such number has too many bits
    if array.size and not (0 <= int(array.min()) and int(array.max()) >> fmt.num_bits == 0):
        worst = int(array.min()) if array.min() < 0 else int(array.max())
        raise UsageError(
            f"{fmt.name}: a code has {fmt.num_bits} bits, so it lies from 0 to {2**fmt.num_bits - 1}, but {worst} does "
            f"not: pass the bits of this format, or the format they belong to."
        )
    return array.astype(dtype, copy=False)


def decode(codes, fmt: str | Format, *, team=None) -> np.ndarray | float:
    """The values of codes, as binary64 numbers, which hold all of them exactly.

    Parameters
    ----------
    codes : int or array_like of int, any shape
    fmt : str or Format
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long arrays, the calling thread for short ones.

    Returns
    -------
    float or ndarray of float64, same shape

    Raises
    ------
    UsageError
        No such format, or codes with too many bits.

    Examples
    --------
    >>> decode([0b0000, 0b0001, 0b0010, 0b0111, 0b1111], "E2M1").tolist()
    [0.0, 0.5, 1.0, 6.0, -6.0]
    >>> decode(0x7E, "E4M3"), decode(0x7C00, "binary16")
    (448.0, inf)
    """
    fmt = find_format(fmt)
    array = check_codes(codes, fmt)
    values = decode_array(array, fmt, team)
    return values if np.ndim(codes) else float(values)


def decode_exact(code: int, fmt: str | Format) -> Fraction:
    """The exact value of the code of a finite number; both zeros give 0.

    Raises
    ------
    UsageError
        The code has too many bits, or is that of an infinity or NaN.

    Examples
    --------
    >>> decode_exact(0x2E66, "binary16")
    Fraction(819, 8192)
    """
    fmt = find_format(fmt)
    code = int(check_codes(code, fmt))
    magnitude = code & ~fmt.sign_bit
    if magnitude > fmt.max_code or (fmt.nan == "minus_zero" and code == fmt.sign_bit):
        raise UsageError(
            f"{fmt.name}: only a finite number is a fraction, but the code {code:#x} is {decode(code, fmt)}: "
            f"use decode() for such codes."
        )
    return -fmt.value_of(magnitude) if code & fmt.sign_bit else fmt.value_of(magnitude)


def encode(
    values, fmt: str | Format, *, rounding: str = "ties_to_even", saturate: bool | None = None,
    seed: int | None = None, team=None,
) -> np.ndarray | int:
    """The codes of values, rounded once.

    Parameters
    ----------
    values : number, str, Fraction, Decimal, or array_like of them, any shape
        Floating-point numbers are taken for exactly what they are. A text such as ``"0.1"``, ``"1/3"``, ``"-inf"`` is
        taken for the number that it says, not for the binary64 number next to it.
    fmt : str or Format
    rounding : str
        ``"ties_to_even"``, ``"ties_away"``, ``"toward_zero"``, ``"up"``, ``"down"`` or ``"stochastic"``: up with the
        probability of the part of the way up (exact to 2**-63).
    saturate : bool, optional
        What numbers beyond the largest one become, infinity included: the largest one, or (the default, where the
        format has them) infinity, else NaN. The two conversions of the OCP specification for E4M3 and E5M2. The
        directed modes that round such a finite number inwards give the largest one, as IEEE 754 has it.
    seed : int, optional
        Of stochastic rounding, which needs one: the same seed gives the same codes.
    team : labkit.openmp.team.Team, optional
        By default one thread a core for long arrays, the calling thread for short ones; the codes are the same.
        Stochastic rounding and exact numbers are left to the calling thread.

    Returns
    -------
    int or ndarray of unsigned int, same shape

    Raises
    ------
    UsageError
        No such format or mode; a type that holds no numbers; a NaN or ``saturate=False`` in a format without NaN.

    Notes
    -----
    A NaN keeps its sign and loses its payload. A format without sign has nothing for negative numbers: what does not
    round to 0 becomes NaN, or 0 if it saturates.

    References
    ----------
    IEEE Std 754-2019, sections 4.3 and 7.4. Open Compute Project, 8-bit Floating Point Specification (OFP8),
    revision 1.0, 2023, section 5.

    Examples
    --------
    >>> encode([0.3, 5.0, -1000.0], "E2M1").tolist()
    [1, 6, 15]
    >>> hex(encode("0.1", "binary32")), hex(encode(500.0, "E4M3")), hex(encode(500.0, "E4M3", saturate=True))
    ('0x3dcccccd', '0x7f', '0x7e')
    """
    fmt, mode = find_format(fmt), find_mode(rounding)
    if saturate is None:
        saturate = fmt.saturates
    elif not saturate and fmt.saturates:
        raise UsageError(
            f"{fmt.name} has neither infinity nor NaN, so a number beyond {float(fmt.max):g} can only become the "
            f"largest one: leave saturate out."
        )
    if (mode == STOCHASTIC) != isinstance(seed, Integral) or (mode == STOCHASTIC and seed < 0):
        raise UsageError(
            f"encode: stochastic rounding, and no other, takes a seed, a whole number from 0, but "
            f"rounding={rounding!r} and seed={seed!r}: "
            f"pass {'seed=1, for example' if mode == STOCHASTIC else 'no seed'}."
        )
    array, exact = _as_numbers(values)
    random = np.zeros(1, np.int64)
    if mode == STOCHASTIC:
        random = np.random.default_rng(int(seed)).integers(0, 2**63, array.size, np.int64, endpoint=False)
    codes = np.empty(array.size, code_dtype(fmt))
    if exact:
        for i, value in enumerate(array.ravel()):
            codes[i] = _encode_exact(value, fmt, mode, saturate, int(random[i % random.size]))
    else:
        has_nan = encode_array(np.ascontiguousarray(array).ravel(), fmt, mode, saturate, random, codes, team)
        if has_nan and fmt.nan_code is None:
            raise _no_nan(fmt)
    return codes.reshape(array.shape) if array.ndim else int(codes[0])


def _as_numbers(values) -> tuple[np.ndarray, bool]:
    """Values as an array of NumPy's IEEE numbers, or (True) as one of objects that are exact numbers."""
    if isinstance(values, (str, Decimal, Rational)) and not isinstance(values, np.generic):
        return np.array(values, dtype=object), True
    array = np.asarray(values)
    if array.dtype.kind == "f" and array.dtype.itemsize in SOURCES:
        return array.astype(array.dtype.newbyteorder("="), copy=False), False
    if array.size == 0 or array.dtype.kind == "b":
        return array.astype(np.float64), False
    if array.dtype.kind in "iu" and -(2**53) <= int(array.min()) and int(array.max()) <= 2**53:
        return array.astype(np.float64), False  # without rounding
    if array.dtype.kind in "iuUO":
        return array.astype(object), True
    raise UsageError(
        f"encode: values are floating-point numbers, integers, fractions, decimals or texts, not {array.dtype}: "
        f"convert them to float64 first."
    )


def _encode_exact(value, fmt: Format, mode: int, saturate: bool, random: int) -> int:
    number, negative = exact_number(value)
    too_large, infinity, nan, below = special_codes(fmt, saturate)
    if number is None:
        if fmt.nan_code is None:
            raise _no_nan(fmt)
        return nan | (fmt.sign_bit if negative else 0)
    if isinstance(number, float):
        code = infinity
    else:
        code = _round_exact(abs(number), negative, fmt, mode, random)
        if code > fmt.max_code:
            outwards = rounds_away(mode, negative, True, Fraction(1, 2), -1)  # what the mode does beyond the largest
            code = too_large if outwards else fmt.max_code
    if not negative:
        return code
    if code == 0:
        return minus_zero(fmt)
    return code | fmt.sign_bit if fmt.signed or code == nan else below


def _round_exact(magnitude: Fraction, negative: bool, fmt: Format, mode: int, random: int) -> int:
    """The code of a magnitude, as if the exponents went on for ever."""
    if magnitude == 0:
        return 0
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1  # now 2**exponent <= magnitude < 2**(exponent + 1)
    at_least = max(exponent, fmt.min_exponent)
    places = magnitude / Fraction(2) ** (at_least - fmt.significand_bits)
    kept = places.numerator // places.denominator
    code = ((at_least - fmt.min_exponent) << fmt.significand_bits) + kept
    return code + rounds_away(mode, negative, code % 2 == 1, places - kept, random)


def _no_nan(fmt: Format) -> UsageError:
    return UsageError(
        f"{fmt.name} has no code for NaN, but a value is one: replace it first, for example with "
        f"numpy.nan_to_num, or choose a format with NaN."
    )
