"""Casts of arrays: which compiled loop makes the codes, or the values, and what it is told.

Bit patterns become codes in packed loops (:mod:`.cast_kernels`) wherever the source has every exponent of the target;
what is left (stochastic rounding, formats with exponents below those of binary64) goes number by number
(:mod:`.kernels`). Short arrays of codes are decoded by NumPy, without importing Numba.
"""

from __future__ import annotations

import functools

import numpy as np

from labkit.floating_point.formats import Format
from labkit.floating_point.rounding import DOWN, STOCHASTIC, TIES_AWAY, TIES_TO_EVEN, UP
from labkit.floating_point.teams import choose_team

# NumPy's types of IEEE numbers: width of the trailing significand, bias, largest biased exponent
SOURCES = {2: (10, 15, 31), 4: (23, 127, 255), 8: (52, 1023, 2047)}
_TABLE_BITS = 16  # formats up to this width are decoded by looking up
_SHORTEST_FOR_LANES = 1 << 14  # of codes


def special_codes(fmt: Format, saturate: bool) -> tuple[int, int, int, int]:
    """Codes of numbers that are too large, of infinity, of NaN, and of negative numbers without a sign bit."""
    nan = 0 if fmt.nan_code is None else fmt.nan_code
    infinity = fmt.max_code if saturate else fmt.infinity_code if fmt.infinities else nan
    return infinity, infinity, nan, 0 if saturate else nan


def minus_zero(fmt: Format) -> int:
    """The code that minus zero is given."""
    return 0 if fmt.nan == "minus_zero" else fmt.sign_bit


def encode_array(
    array: np.ndarray, fmt: Format, mode: int, saturate: bool, random: np.ndarray, codes: np.ndarray, team=None
) -> bool:
    """Write the codes of an array of NumPy's IEEE numbers, shape (n,); whether one of them was NaN."""
    if mode != STOCHASTIC:
        # Widening is exact. So wide must the source be that its exponents reach down to the target's:
        for size in (4, 8):
            width, bias, _ = SOURCES[size]
            if array.itemsize <= size and fmt.significand_bits <= width and fmt.min_exponent + bias >= 1 and (
                fmt.num_bits <= 8 * size
            ):
                with np.errstate(invalid="ignore"):  # of a signalling NaN
                    wide = array.astype(f"f{size}", copy=False)
                return _encode_lanes(wide, fmt, mode, saturate, codes, team)
    from labkit.floating_point.kernels import round_patterns

    size = array.itemsize
    target = fmt.significand_bits, fmt.min_exponent, fmt.max_code, fmt.sign_bit, minus_zero(fmt)
    if fmt.sign_bit >> 63:  # the sign bit of binary64 as a signed integer
        target = *target[:3], fmt.sign_bit - 2**64, target[4] - 2**64
    special = special_codes(fmt, saturate)
    return bool(round_patterns(array.view(f"i{size}"), SOURCES[size], target, mode, special, random, codes))


def _encode_lanes(array: np.ndarray, fmt: Format, mode: int, saturate: bool, codes: np.ndarray, team) -> bool:
    from labkit.floating_point import cast_kernels as kernels

    num_bits = 8 * array.itemsize
    has_nan = np.zeros(1, np.uint8)
    arguments = array.view(f"u{array.itemsize}"), _settings(fmt, mode, saturate, num_bits), codes, has_nan
    team = choose_team(team, array.size)
    if team is None:
        kernels.round_lanes(0, array.size, *arguments)
    else:
        team.parallel_for(kernels.round_lanes, array.size, *arguments)
    return bool(has_nan[0])


@functools.lru_cache(maxsize=64)
def _settings(fmt: Format, mode: int, saturate: bool, num_bits: int) -> np.ndarray:
    """What :func:`.round_lanes` is told."""
    from labkit.floating_point import cast_kernels as kernels

    width, bias, _ = SOURCES[num_bits // 8]
    ones = 2**num_bits - 1
    overflow, infinity, nan, below = special_codes(fmt, saturate)
    to_nearest = mode in (TIES_TO_EVEN, TIES_AWAY)
    settings = np.zeros(kernels.NUM_SETTINGS, f"u{num_bits // 8}")
    for index, value in (
        (kernels.SOURCE_WIDTH, width), (kernels.SIGN_SHIFT, num_bits - 1), (kernels.WIDTH, fmt.significand_bits),
        (kernels.LOWEST, fmt.min_exponent + bias), (kernels.MAX_CODE, fmt.max_code),
        (kernels.NEAREST, ones * to_nearest), (kernels.AWAY, ones * (mode == TIES_AWAY)),
        (kernels.UPWARD, ones * (mode == UP)), (kernels.DOWNWARD, ones * (mode == DOWN)),
        (kernels.OVERFLOW, overflow if to_nearest or mode == UP else fmt.max_code),
        (kernels.NEGATIVE_OVERFLOW, overflow if to_nearest or mode == DOWN else fmt.max_code),
        (kernels.INFINITY, infinity), (kernels.NAN, nan), (kernels.NEGATIVE_NAN, nan | fmt.sign_bit),
        # Without a sign bit, a negative number has a code of its own: nothing of the magnitude's is kept.
        (kernels.KEEP, ones * fmt.signed), (kernels.SIGN_BIT, fmt.sign_bit if fmt.signed else below),
        (kernels.MINUS_ZERO, minus_zero(fmt)),
    ):
        settings[index] = value
    return settings


def decode_array(codes: np.ndarray, fmt: Format, team=None) -> np.ndarray:
    """The values of codes, any shape, of the format's type."""
    if codes.size >= _SHORTEST_FOR_LANES and fmt.min_exponent >= -1022:
        return _decode_lanes(codes, fmt, team)
    return _table(fmt)[codes] if fmt.num_bits <= _TABLE_BITS else decode_plainly(codes, fmt)


def _decode_lanes(codes: np.ndarray, fmt: Format, team) -> np.ndarray:
    from labkit.floating_point.cast_kernels import decode_lanes

    values = np.empty(codes.size)
    numbers = [
        -1 if code is None else code - 2**64 if code >> 63 else code  # as bits of an int64
        for code in (fmt.sign_bit, fmt.infinity_code, fmt.sign_bit if fmt.nan == "minus_zero" else None)
    ]
    arguments = (
        np.ascontiguousarray(codes).ravel(), fmt.significand_bits, fmt.bias, float(fmt.min_normal * fmt.epsilon),
        fmt.max_code, *numbers, values,
    )
    team = choose_team(team, codes.size)
    if team is None:
        decode_lanes(0, codes.size, *arguments)
    else:
        team.parallel_for(decode_lanes, codes.size, *arguments)
    return values.reshape(codes.shape)


@functools.lru_cache(maxsize=32)
def _table(fmt: Format) -> np.ndarray:
    return decode_plainly(np.arange(2**fmt.num_bits, dtype=np.uint64), fmt)


def decode_plainly(codes: np.ndarray, fmt: Format) -> np.ndarray:
    """The values of codes, step by step."""
    codes = codes.astype(np.uint64)
    negative = (codes & np.uint64(fmt.sign_bit)) != 0
    magnitude = (codes & np.uint64((1 << (fmt.exponent_bits + fmt.significand_bits)) - 1)).astype(np.int64)
    biased = magnitude >> fmt.significand_bits
    significand = (magnitude & ((1 << fmt.significand_bits) - 1)) | (np.minimum(biased, 1) << fmt.significand_bits)
    exponent = np.maximum(biased, 1) - fmt.bias - fmt.significand_bits
    with np.errstate(over="ignore"):  # the codes of infinity and NaN, which are replaced below
        values = np.ldexp(significand.astype(np.float64), exponent)  # exact: at most 53 bits
    values = np.asarray(np.where(negative, -values, values))
    if fmt.nan == "minus_zero":
        values[codes == fmt.sign_bit] = np.nan
    else:
        values[magnitude > fmt.max_code] = np.nan
    values = np.asarray(np.copysign(values, np.where(negative, -1.0, 1.0)))  # a NaN has a sign, too
    if fmt.infinities:
        infinite = magnitude == fmt.infinity_code
        values[infinite] = np.where(negative, -np.inf, np.inf)[infinite]
    return values
