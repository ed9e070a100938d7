"""Spacing, neighbours, distances against NumPy and ml_dtypes; exact expansions against Python's decimal."""

import math
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.texts import exact_decimal
from labkit.floating_point.ulp import next_down, next_up, store, ulp, ulp_distance

WIDE = {"binary32": np.float32, "binary64": np.float64}
SMALL = ("binary16", "bfloat16", "E5M2", "E4M3", "E3M2", "E2M1", "E4M3FNUZ", "E5M2FNUZ")


def patterns(dtype):
    rng = np.random.default_rng(2)
    unsigned = np.dtype(dtype).str.replace("f", "u")
    info = np.finfo(dtype)
    borders = np.array([0.0, -0.0, info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal, np.inf, -np.inf, 1, 2], dtype)
    values = np.concatenate([rng.integers(0, np.iinfo(unsigned).max, 20_000, unsigned, endpoint=True).view(dtype), borders])
    return values[~np.isnan(values)]


@pytest.mark.parametrize("name", WIDE)
def test_neighbours_and_spacing_are_those_of_numpy(name):
    dtype = WIDE[name]
    values = patterns(dtype)
    codes = values.view(values.dtype.str.replace("f", "u"))
    with np.errstate(all="ignore"):
        up, down = np.nextafter(values, dtype(np.inf)), np.nextafter(values, dtype(-np.inf))
    np.testing.assert_array_equal(decode(next_up(codes, name), name), up.astype(np.float64))
    np.testing.assert_array_equal(decode(next_down(codes, name), name), down.astype(np.float64))
    finite = values[np.isfinite(values) & (np.abs(values) < np.finfo(dtype).max)]
    spacing = np.abs(np.spacing(finite)).astype(np.float64)
    np.testing.assert_array_equal(ulp(finite, name), spacing)
    assert [ulp(Fraction(float(x)), name) for x in finite[-50:]] == [Fraction(float(s)) for s in spacing[-50:]]
    assert np.isnan(ulp([np.inf, -np.inf, np.nan], name)).all()


@pytest.mark.parametrize("name", SMALL)
def test_neighbours_are_next_in_the_sorted_list_of_all_values(name):
    fmt = find_format(name)
    codes = np.arange(2**fmt.num_bits, dtype=np.uint16 if fmt.num_bits == 16 else np.uint8)
    values = decode(codes, fmt)
    ordered = np.unique(values[~np.isnan(values)])
    numbers = codes[~np.isnan(values)]
    place = np.searchsorted(ordered, decode(numbers, fmt))
    up, down = decode(next_up(numbers, fmt), fmt), decode(next_down(numbers, fmt), fmt)
    np.testing.assert_array_equal(up, ordered[np.minimum(place + 1, ordered.size - 1)])
    np.testing.assert_array_equal(down, ordered[np.maximum(place - 1, 0)])
    shuffled = np.random.default_rng(1).permutation(numbers)
    other = np.searchsorted(ordered, decode(shuffled, fmt))
    np.testing.assert_array_equal(ulp_distance(numbers, shuffled, fmt), np.abs(place - other))
    positive = ordered[np.isfinite(ordered) & (ordered >= 0)]
    np.testing.assert_array_equal(ulp(positive[:-1], fmt), np.diff(positive))
    assert ulp(positive[-1], fmt) == np.diff(positive)[-1] == ulp(np.finfo(np.float64).max, fmt)
    nans = codes[np.isnan(values)]
    np.testing.assert_array_equal(next_up(nans, fmt), nans)


def test_bfloat16_neighbours_are_those_of_ml_dtypes():
    codes = np.arange(0x7F80, dtype=np.uint16)
    expected = np.nextafter(codes.view(ml_dtypes.bfloat16), ml_dtypes.bfloat16(np.inf)).view(np.uint16)
    np.testing.assert_array_equal(next_up(codes, "bfloat16"), expected)


def test_zeros():
    assert ulp_distance(0, 0x8000, "binary16") == 0
    assert next_up(0x8000, "binary16") == next_up(0, "binary16") == 1
    assert next_up(0x8001, "binary16") == 0x8000  # minus zero
    assert next_up(0x81, "E4M3FNUZ") == 0 and next_down(1, "binary16") == 0
    unsigned = Format("UE4M3", 4, 3, infinities=False, signed=False)
    assert next_down([0, 1, 2], unsigned).tolist() == [0, 0, 1]


def test_the_widest_distance_fits():
    largest = [encode(text, "binary64") for text in ("inf", "-inf")]
    assert ulp_distance(*largest, "binary64") == 2 * 0x7FF0000000000000
    assert ulp_distance(largest[1], largest[0], "binary64") == 2 * 0x7FF0000000000000


@pytest.mark.parametrize("value", [0.1, -1 / 3, 5e-324, 1.7976931348623157e308, 2.0**-30, 3.0, 1e22, 123456.789, 2.0**100, 7e-31])
def test_all_decimal_digits(value):
    text = exact_decimal(Fraction(value))
    assert Decimal(text) == Decimal(value)
    assert text.strip("-").replace(".", "").split("e")[0].strip("0") == str(Decimal(value)).strip("-").replace(".", "").split("E")[0].strip("0")
    assert len(text.split("e")[0]) < 32 or "e" in text or "." in text


@pytest.mark.parametrize("name", ["binary16", "binary32", "E4M3", "TF32"])
@pytest.mark.parametrize("text", ["0.1", "-0.3", "1/3", "3.1415926535897932384626", "447.9", "0.0000001", "1.9999999999"])
def test_errors_of_typed_decimals(name, text):
    fmt, stored = find_format(name), store(text, name)
    assert stored.error_ulp == (Fraction(float(decode(stored.code, fmt))) - Fraction(text)) / ulp(Fraction(text), fmt)
    assert abs(stored.error_ulp) <= Fraction(1, 2)
    neighbours = [stored.below, stored.above] if stored.value < fmt.max else [stored.below]
    assert stored.below < stored.value and (stored.above is None or stored.value < stored.above)
    assert all(abs(stored.value - Fraction(text)) <= abs(neighbour - Fraction(text)) for neighbour in neighbours)


def test_what_is_stored_of_a_tenth():
    assert store("0.1", "binary64").decimal == str(Decimal(0.1))
    assert store("0.1", "binary16", rounding="up").error_ulp == Fraction(3, 5)
    just_below_two = store("1.999999", "binary16")  # the spacing of the typed number, not that of 2
    assert just_below_two.value == 2 and just_below_two.ulp == Fraction(1, 1024)


def test_borders_of_what_is_stored():
    large = store("1e6", "binary16")
    assert large.value == math.inf and large.error_ulp is None and large.above is None and large.below == 65504
    assert store("448", "E4M3").above is None
    assert store("-0", "binary32").decimal == "-0" and store("0", "binary32").decimal == "0"
    assert store("nan", "E4M3").decimal == "nan" and store("-inf", "E5M2").decimal == "-inf"
    assert store("-1e-9", "E4M3FNUZ").decimal == "0"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ulp_distance(0x7E00, 0, "binary16"), "NaN has no place.*1 of the codes"),
        (lambda: ulp_distance([0x80, 1], 0, "E4M3FNUZ"), "leave them out"),
        (lambda: ulp("inf", "binary16"), "only a finite number"),
        (lambda: next_up(0x10000, "binary16"), "a code has 16 bits"),
        (lambda: exact_decimal(Fraction(1, 3)), "no last decimal digit"),
        (lambda: store("a tenth", "binary16"), "'a tenth' is no number"),
        (lambda: ulp(1.0, "binary23"), "no format is called"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
