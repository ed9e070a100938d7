"""Rounding modes against their definition: the neighbours found by search among all values, as fractions."""

import bisect
import functools
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from labkit.floating_point.codec import decode, decode_exact, encode
from labkit.floating_point.formats import Format, find_format

FORMATS = [
    find_format(name) for name in ("binary16", "bfloat16", "E5M2", "E4M3", "E2M1", "E4M3FNUZ")
] + [Format("E8M0-like", 8, 0, infinities=False), Format("wide", 11, 3, 1070, infinities=False), Format("low", 4, 3, -20)]
MODES = ("ties_to_even", "ties_away", "toward_zero", "up", "down")


@functools.cache
def magnitudes(fmt):
    """All finite magnitudes in order, and last where the next one would be."""
    values = [decode_exact(code, fmt) for code in range(fmt.max_code + 1)]
    top = Fraction(2) ** math.floor(math.log2(values[-1]))
    return [*values, values[-1] + top / 2**fmt.significand_bits]


def expected(x, negative, fmt, rounding, saturate=False):
    """The value that the definition of the mode gives; "too large" is infinity, or None for NaN."""
    values = magnitudes(fmt)
    below = min(bisect.bisect_right(values, abs(x)) - 1, len(values) - 1)
    if values[below] == abs(x) and below < len(values) - 1:
        code = below
    elif below == len(values) - 1:
        outwards = rounding.startswith("ties") or rounding == ("down" if negative else "up")
        code = below if outwards else below - 1
    else:
        low, high = abs(x) - values[below], values[below + 1] - abs(x)
        nearest = below if low < high else below + 1 if high < low else None
        code = {
            "ties_to_even": below + below % 2 if nearest is None else nearest,
            "ties_away": below + 1 if nearest is None else nearest,
            "toward_zero": below,
            "up": below if negative else below + 1,
            "down": below + 1 if negative else below,
        }[rounding]
    if code == len(values) - 1:
        if saturate or fmt.saturates:
            code -= 1
        else:
            return (-math.inf if negative else math.inf) if fmt.infinities else None
    return -values[code] if negative else values[code]


def same(code, value, fmt, negative):
    got = float(decode(code, fmt))
    if value is None:
        return math.isnan(got)
    if value == 0:
        return got == 0 and (math.copysign(1, got) < 0) == (negative and fmt.nan != "minus_zero")
    return got == value


def points(fmt):
    """Numbers, midpoints and points beside them, as binary64 numbers wherever those hold them."""
    values = magnitudes(fmt)
    chosen = sorted({*range(20), *range(len(values) - 20, len(values) - 1), *range(0, len(values) - 1, max(1, len(values) // 97))})
    near = Fraction(1, 2**30)
    for code in (c for c in chosen if 0 <= c < len(values) - 1):
        a, b = values[code], values[code + 1]
        yield from (a, (a + b) / 2, a + (b - a) * (Fraction(1, 2) - near), a + (b - a) * (Fraction(1, 2) + near), a + (b - a) / 8)
    yield from (values[-1], values[-1] * 3)


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("rounding", MODES)
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_every_mode_is_its_definition(fmt, rounding, saturate):
    option = {} if fmt.saturates else {"saturate": saturate}
    exact, floats = [], []
    for x in points(fmt):
        for number in (x, -x):
            code = encode(number, fmt, rounding=rounding, **option)
            assert same(code, expected(number, number < 0, fmt, rounding, saturate), fmt, number < 0), (number, hex(code))
            if math.isfinite(number) and abs(number) < 2**1023 and Fraction(float(number)) == number:
                floats.append(float(number))
                exact.append(code)
    assert len(floats) > 100 or fmt.name == "E2M1"
    np.testing.assert_array_equal(encode(floats, fmt, rounding=rounding, **option), exact)


def test_tf32_is_binary32_without_13_bits():
    values = np.arange(0, 2**32, 65521, dtype=np.uint64).astype(np.uint32).view(np.float32)
    values = np.concatenate([values[np.isfinite(values)], np.float32([1 + 2**-11, 1 + 3 * 2**-11, 2.0**-137, 3 * 2.0**-137])])
    patterns = values.view(np.uint32).astype(np.uint64)
    to_even = (patterns + 0xFFF + (patterns >> np.uint64(13) & np.uint64(1))) >> np.uint64(13)
    np.testing.assert_array_equal(encode(values, "TF32"), to_even)
    np.testing.assert_array_equal(encode(values, "TF32", rounding="toward_zero"), patterns >> np.uint64(13))


@pytest.mark.parametrize("text", ["0.1", "-2.5e-3", "1/3", "65519.999999999999999999999999", "65520", "1e-400", "-1e400", "0.5000000000000000000001"])
@pytest.mark.parametrize("rounding", MODES)
def test_texts_are_rounded_from_what_they_say(text, rounding):
    fmt = find_format("binary16")
    number = Fraction(text)
    assert same(encode(text, fmt, rounding=rounding), expected(number, number < 0, fmt, rounding), fmt, number < 0)
    if "/" not in text:
        assert encode(Decimal(text), fmt, rounding=rounding) == encode(text, fmt, rounding=rounding)


@pytest.mark.parametrize("text", ["0.1", "1e23", "9007199254740993", "2.2250738585072011e-308", "5e-324", "1.7976931348623159e308", "-0.0", "inf"])
def test_texts_become_what_python_reads(text):
    assert encode(text, "binary64") == np.float64(float(text)).view(np.uint64)


STOCHASTIC = [
    ("binary16", Fraction(1, 3)), ("binary16", Fraction(1, 2**26)), ("E4M3", Fraction(-17, 16) - Fraction(1, 64)),
    ("E4M3", Fraction(475)), ("bfloat16", 1 + Fraction(1, 2**12)), ("E2M1", Fraction(11, 2)), ("E5M2", Fraction(-1, 10)),
    ("E2M1", Fraction(1, 2**9)),
]


@pytest.mark.parametrize("typed", [False, True], ids=["array", "exact"])
@pytest.mark.parametrize(("name", "number"), STOCHASTIC)
def test_stochastic_rounding_has_the_exact_probability(name, number, typed):
    fmt, num_trials = find_format(name), 4_000 if typed else 100_000
    number = number if typed else Fraction(float(number))
    values = magnitudes(fmt)
    below = bisect.bisect_right(values, abs(number)) - 1
    probability = float((abs(number) - values[below]) / (values[below + 1] - values[below]))
    assert 0 < probability < 1
    numbers = np.full(num_trials, number if typed else float(number))
    codes = encode(numbers, fmt, rounding="stochastic", seed=11) & ~np.uint64(fmt.sign_bit)
    assert set(codes.tolist()) <= {below, below + 1}
    bound = 5 * math.sqrt(num_trials * probability * (1 - probability))  # five standard deviations
    assert abs(np.count_nonzero(codes == below + 1) - num_trials * probability) <= bound


def test_a_seed_gives_the_same_codes_and_another_seed_others():
    values = np.random.default_rng(3).normal(size=1000)
    first, again, other = (encode(values, "E4M3", rounding="stochastic", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    texts = encode([Fraction(value) for value in values], "E4M3", rounding="stochastic", seed=1)
    np.testing.assert_array_equal(first, texts)


def test_stochastic_rounding_leaves_the_numbers_of_the_format():
    codes = np.arange(find_format("binary16").max_code + 1, dtype=np.uint16)
    np.testing.assert_array_equal(encode(decode(codes, "binary16"), "binary16", rounding="stochastic", seed=5), codes)


def test_a_tiny_number_rounds_up_as_rarely_as_it_should():
    # 2**-10 of the smallest number of E5M2
    tiny = np.full(100_000, 2.0**-16 * 2.0**-10)
    ups = np.count_nonzero(encode(tiny, "E5M2", rounding="stochastic", seed=8))
    mean = 100_000 * 2.0**-10
    assert abs(ups - mean) <= 5 * math.sqrt(mean)
    assert np.count_nonzero(encode(np.full(100_000, 2.0**-900), "E5M2", rounding="stochastic", seed=8)) == 0
