"""Compiled loops between bit patterns and codes, without branches: the compiler packs eight or sixteen numbers.

All numbers of a loop are unsigned integers of the width of the patterns. NumPy's rules, and so Numba's, would widen
the small ones in every operation, which halves how many fit into a register; hence ``kind`` around each of them, and
shifts of our own.

Importing this module imports Numba; :mod:`labkit.floating_point.casts` does so when it meets an array.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import intrinsic

# What a loop is told, by index: of the source, of the target, of the rounding mode, and the codes of what is special.
(
    SOURCE_WIDTH, SIGN_SHIFT, WIDTH, LOWEST, MAX_CODE, NEAREST, AWAY, UPWARD, DOWNWARD, OVERFLOW, NEGATIVE_OVERFLOW,
    INFINITY, NAN, NEGATIVE_NAN, KEEP, SIGN_BIT, MINUS_ZERO,
) = range(17)
NUM_SETTINGS = 17


def _shift(name: str):
    """A shift whose result has the type of what is shifted; by its width or more, the result is undefined."""
    @intrinsic
    def shift(typing_context, number, count):
        return number(number, number), lambda context, builder, signature, arguments: getattr(builder, name)(*arguments)

    return shift


left, right = _shift("shl"), _shift("lshr")


@njit(inline="always")
def to_even(significand, count, kind):
    """``significand / 2**count`` as a whole number, ties to even; ``count`` is 1 at least.

    What is added before the shift makes it round: half of the last place, less one unit unless the last bit is odd.
    """
    one = kind(1)
    half = right(kind(left(one, count) - one), one)
    odd = kind(right(significand, count) & one)
    return right(kind(kind(significand + half) + odd), count)


@njit(inline="always")
def as_told(significand, count, base, negative, kind, nearest, away, upward, downward):
    """The same in any mode, plus ``base``: the last four are all ones for the modes that are so. ``count`` may be 0."""
    one = kind(1)
    below = kind(left(one, count) - one)
    odd = kind(kind(right(significand, count) + base) & one)  # a code without trailing bits ends in its exponent
    half = right(kind(below + kind(away & one)), one)
    added = kind(kind(half + kind(odd & below & kind(~away))) & nearest)
    added = kind(added + kind(below & (downward if negative else upward)))
    return kind(right(kind(significand + added), count) + base)


@njit(inline="always")
def split(magnitude, width, lowest, cut, kind):
    """Of a magnitude: significand, how many of its bits lie below the target's last place, exponent of the code."""
    one = kind(1)
    hidden = left(one, width)
    biased = right(magnitude, width)
    significand = kind(kind(magnitude & kind(hidden - one)) | (hidden if biased else kind(0)))
    biased = max(biased, one)
    at_least = max(biased, lowest)
    # With two bits more than there are, nothing changes any more.
    count = min(kind(cut + kind(at_least - biased)), kind(width + kind(2)))
    return significand, count, kind(at_least - lowest)


@njit(inline="always")
def finished(code, magnitude, negative, infinity, settings, kind):
    """What is special about a code: too large, infinite, negative, or not a number."""
    max_code, overflow, negative_overflow, infinity_code, keep, sign_bit, minus_zero, nan, negative_nan = settings
    code = code if code <= max_code else (negative_overflow if negative else overflow)
    code = infinity_code if magnitude == infinity else code
    signed = kind(kind(code & keep) | sign_bit) if code else minus_zero
    code = signed if negative else code
    return (negative_nan if negative else nan) if magnitude > infinity else code


@njit(cache=True, nogil=True)
def round_lanes(start, stop, patterns, settings, codes, has_nan):
    """Write the codes of patterns ``start`` to ``stop - 1``; ``has_nan[0]`` becomes 1 if one of them is NaN.

    Parameters
    ----------
    start, stop : int
    patterns : array of uint32 or uint64, shape (n,)
    settings : array of the same type, shape (NUM_SETTINGS,)
        LOWEST is the target's smallest exponent with the source's bias, at least 1. Codes are without sign, unless
        named negative; a negative number's code is ``code & KEEP | SIGN_BIT``.
    codes : array of unsigned integers, shape (n,)
    has_nan : array of uint8, shape (1,)
    """
    kind, code_kind = patterns.dtype.type, codes.dtype.type
    one = kind(1)
    source_width, width, lowest = settings[SOURCE_WIDTH], settings[WIDTH], settings[LOWEST]
    cut = kind(source_width - width)
    positive = kind(left(one, settings[SIGN_SHIFT]) - one)
    infinity = kind(positive & kind(~kind(left(one, source_width) - one)))
    nearest, away, upward, downward = settings[NEAREST], settings[AWAY], settings[UPWARD], settings[DOWNWARD]
    special = (
        settings[MAX_CODE], settings[OVERFLOW], settings[NEGATIVE_OVERFLOW], settings[INFINITY], settings[KEEP],
        settings[SIGN_BIT], settings[MINUS_ZERO], settings[NAN], settings[NEGATIVE_NAN],
    )
    found = kind(0)
    source, target = patterns[start:stop], codes[start:stop]
    is_even = nearest and not away and cut
    if is_even and lowest == one:  # the target has the source's exponents: all magnitudes are cut at one place
        for i in range(source.size):
            negative, magnitude = source[i] > positive, kind(source[i] & positive)
            code = to_even(magnitude, cut, kind)
            target[i] = code_kind(finished(code, magnitude, negative, infinity, special, kind))
            found |= kind(magnitude > infinity)
    elif is_even and width:
        for i in range(source.size):
            negative, magnitude = source[i] > positive, kind(source[i] & positive)
            significand, count, exponent = split(magnitude, source_width, lowest, cut, kind)
            code = kind(to_even(significand, count, kind) + left(exponent, width))  # a carry is the right one
            target[i] = code_kind(finished(code, magnitude, negative, infinity, special, kind))
            found |= kind(magnitude > infinity)
    else:
        for i in range(source.size):
            negative, magnitude = source[i] > positive, kind(source[i] & positive)
            significand, count, exponent = split(magnitude, source_width, lowest, cut, kind)
            base = left(exponent, width)
            code = as_told(significand, count, base, negative, kind, nearest, away, upward, downward)
            target[i] = code_kind(finished(code, magnitude, negative, infinity, special, kind))
            found |= kind(magnitude > infinity)
    if found:
        has_nan[0] = 1


@njit(cache=True, nogil=True)
def decode_lanes(start, stop, codes, width, bias, smallest, max_code, sign_bit, infinity_code, nan_code, values):
    """Write the values of codes ``start`` to ``stop - 1`` as binary64 numbers.

    Parameters
    ----------
    codes : array of unsigned integers, shape (n,)
    width, bias : int
    smallest : float
        Spacing of the subnormal numbers.
    max_code, sign_bit, infinity_code, nan_code : int
        As bits in an int64; larger magnitudes than ``max_code`` are NaN, unless they are that of infinity.
    values : array of float64, shape (n,)
    """
    source, target = codes[start:stop], values[start:stop].view(np.int64)
    magnitude_mask = ~sign_bit
    up, rebias, normal = 52 - width, (1023 - bias) << 52, 1 << width
    plus_infinity, nan, negative_nan = np.int64(0x7FF) << 52, np.int64(0xFFF) << 51, np.int64(-1) << 51
    for i in range(source.size):
        code = np.int64(source[i])
        magnitude = code & magnitude_mask
        small = bits_of(np.float64(magnitude) * smallest)
        pattern = small if magnitude < normal else (magnitude << up) + rebias
        pattern = pattern if magnitude <= max_code else (plus_infinity if magnitude == infinity_code else nan)
        pattern |= np.int64(-0x8000000000000000) if code & sign_bit else 0
        target[i] = negative_nan if code == nan_code else pattern  # that code is a sign bit alone


@intrinsic
def bits_of(typing_context, number):
    """The bit pattern of a float64."""
    from llvmlite import ir
    from numba import types

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(number), generate
