"""The packed loops of casts against the loops that go number by number, and against NumPy."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.casts import decode_plainly, minus_zero, special_codes
from labkit.floating_point.codec import code_dtype, decode, encode
from labkit.floating_point.formats import PRESETS, Format
from labkit.floating_point.rounding import MODES
from labkit.floating_point.teams import ALONE
from labkit.openmp.team import Team

FORMATS = [
    *PRESETS.values(), Format("no trailing bits", 8, 0, infinities=False), Format("unsigned", 5, 3, signed=False),
    Format("unsigned, no NaN", 4, 4, infinities=False, nan="none", signed=False),
    Format("all finite", 8, 7, infinities=False, nan="none"),
    Format("large", 4, 3, -100), Format("exponents of binary64", 11, 20), Format("below binary64", 5, 3, 1060),
    Format("wide, without infinity", 8, 23, infinities=False),
    Format("fnuz", 8, 9, 128, infinities=False, nan="minus_zero"),
]
EACH = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
DETERMINISTIC = [mode for mode in MODES if mode != "stochastic"]
SOURCES = {np.float16: (10, 15, 31), np.float32: (23, 127, 255), np.float64: (52, 1023, 2047)}


def one_by_one(values, fmt, rounding, saturate):
    """Codes by the loop with branches, of any source."""
    from labkit.floating_point.kernels import round_patterns

    size = values.itemsize
    codes = np.empty(values.size, code_dtype(fmt))
    signed = [number - 2**64 if number >> 63 else number for number in (fmt.sign_bit, minus_zero(fmt))]
    target = fmt.significand_bits, fmt.min_exponent, fmt.max_code, *signed
    special = special_codes(fmt, saturate)
    random = np.zeros(1, np.int64)
    round_patterns(values.view(f"i{size}"), SOURCES[values.dtype.type], target, MODES[rounding], special, random, codes)
    return codes


def hard_values(fmt, source):
    """Random patterns, and what lies at and beside numbers and halfway points of the format, in the source's type."""
    rng = np.random.default_rng(5)
    size = np.dtype(source).itemsize
    patterns = rng.integers(0, 256, 4000 * size, np.uint8).view(source)
    chosen = np.unique(np.concatenate([
        np.arange(min(40, fmt.max_code)), np.arange(max(0, fmt.max_code - 40), fmt.max_code),
        rng.integers(0, fmt.max_code, 200),
    ])).astype(np.uint64)
    numbers = decode_plainly(np.append(chosen, np.uint64(fmt.max_code)), fmt)
    with np.errstate(all="ignore"):
        above = decode_plainly(chosen + np.uint64(1), fmt)
        halfway, beyond = numbers[:-1] / 2 + above / 2, [1.1 * numbers[-1], 2 * numbers[-1]]
        points = np.concatenate([numbers, halfway, beyond]).astype(source)
        near = [np.nextafter(points, source(side)) for side in (-np.inf, np.inf)]
    values = np.concatenate([patterns, points, *near, np.array([0.0, np.inf, np.nan], source)])
    values = np.concatenate([values, -values])
    return values[~np.isnan(values)] if fmt.nan_code is None else values


@EACH
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_packed_loops_round_like_the_plain_one(fmt, source):
    values = hard_values(fmt, source)
    for rounding in DETERMINISTIC:
        for saturate in {False, True} if not fmt.saturates else {True}:
            option = {} if fmt.saturates else {"saturate": saturate}
            ours = encode(values, fmt, rounding=rounding, **option)
            expected = one_by_one(values, fmt, rounding, saturate)
            wrong = [(float(values[i]), hex(ours[i]), hex(expected[i])) for i in np.flatnonzero(ours != expected)[:4]]
            assert not wrong, (rounding, saturate, wrong)


@EACH
def test_long_arrays_of_codes_are_decoded_like_short_ones(fmt):
    if fmt.num_bits <= 16:
        codes = np.resize(np.arange(2**fmt.num_bits), max(2**fmt.num_bits, 20_000))
    else:
        codes = np.random.default_rng(2).integers(0, 2**fmt.num_bits, 60_000, np.uint64)
        least = 1 << fmt.significand_bits
        edges = fmt.max_code, fmt.max_code + 1, fmt.infinity_code or 0, fmt.nan_code or 0, 0, 1, 2, least, least - 1
        codes[:18] = [edge | sign for edge in edges for sign in (0, fmt.sign_bit)]
    codes = codes.astype(code_dtype(fmt))
    values, expected = decode(codes, fmt), decode_plainly(codes, fmt)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(values), ~numbers)
    np.testing.assert_array_equal(values[numbers].view(np.int64), expected[numbers].view(np.int64))


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_any_team_gives_the_same(num_threads):
    values = np.random.default_rng(3).normal(size=100_001).astype(np.float32)
    codes = encode(values, "E4M3", team=ALONE)
    np.testing.assert_array_equal(encode(values, "E4M3", team=Team(num_threads)), codes)
    values = decode(codes[:, None], "E4M3", team=ALONE)[:, 0]
    np.testing.assert_array_equal(decode(codes, "E4M3", team=Team(num_threads)), values)


@pytest.mark.parametrize("place", [0, 40_000, 99_999])
def test_one_nan_is_found_in_a_format_without(place):
    values = np.ones(100_000, np.float32)
    values[place] = -np.nan
    with pytest.raises(UsageError, match="E2M1 has no code for NaN"):
        encode(values, "E2M1")


def test_a_signalling_nan_gives_no_warning():
    signalling = np.array([0x7F800001, 0xFF800001], np.uint32).view(np.float32)
    assert encode(signalling, "binary64").tolist() == [0x7FF8 << 48, 0xFFF8 << 48]


def test_no_team_is_an_error_that_says_so():
    with pytest.raises(UsageError, match="pass for example Team"):
        encode(np.ones(10), "E4M3", team=2)
