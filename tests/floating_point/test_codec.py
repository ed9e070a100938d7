"""Codes and values: ml_dtypes and NumPy, bit for bit."""

import ml_dtypes
import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import code_dtype, decode, decode_exact, encode
from labkit.floating_point.formats import Format, find_format

OTHERS = {
    ml_dtypes.float8_e3m4: Format("E3M4", 3, 4), ml_dtypes.float8_e4m3: Format("E4M3IEEE", 4, 3),
    ml_dtypes.float8_e4m3b11fnuz: Format("E4M3B11", 4, 3, 11, infinities=False, nan="minus_zero"),
}
FORMATS = {
    ml_dtypes.bfloat16: find_format("bfloat16"), ml_dtypes.float8_e4m3fn: find_format("E4M3"),
    ml_dtypes.float8_e5m2: find_format("E5M2"), ml_dtypes.float4_e2m1fn: find_format("E2M1"),
    ml_dtypes.float6_e3m2fn: find_format("E3M2"), ml_dtypes.float6_e2m3fn: find_format("E2M3"),
    ml_dtypes.float8_e4m3fnuz: find_format("E4M3FNUZ"), ml_dtypes.float8_e5m2fnuz: find_format("E5M2FNUZ"), **OTHERS,
}
TARGETS = pytest.mark.parametrize("dtype", FORMATS, ids=lambda dtype: dtype.__name__)
ALL_16 = np.arange(2**16, dtype=np.uint16)


def assert_same_codes(values, dtype):
    """Our codes of an array against those of the cast of ml_dtypes."""
    fmt = FORMATS[dtype]
    with np.errstate(all="ignore"):
        if fmt.nan == "none":
            values = values[~np.isnan(values)]  # ml_dtypes gives a zero, we an error
        binary32 = values.astype(np.float32)
        expected = (binary32 if values.dtype == dtype else values).astype(dtype).view(code_dtype(fmt))
    ours = encode(binary32, fmt)
    assert ours.dtype == expected.dtype
    wrong = np.flatnonzero(ours != expected)
    assert wrong.size == 0, [(float(values[i]), hex(ours[i]), hex(expected[i])) for i in wrong[:5]]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@TARGETS
def test_every_code_is_decoded(dtype):
    fmt = FORMATS[dtype]
    codes = np.arange(2**fmt.num_bits, dtype=code_dtype(fmt))
    expected = codes.view(dtype).astype(np.float64)
    np.testing.assert_array_equal(decode(codes, fmt), expected)
    np.testing.assert_array_equal(np.signbit(decode(codes, fmt)), np.signbit(expected))  # of NaN, too
    some = codes[-300:]  # few are decoded another way
    np.testing.assert_array_equal(np.signbit(decode(some, fmt)), np.signbit(expected[-300:]))
    np.testing.assert_array_equal(decode(some, fmt), expected[-300:])
    for code in codes[np.isfinite(expected)][:: max(1, codes.size // 4096)]:
        assert decode_exact(int(code), fmt) == expected[code]


@TARGETS
@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16], ids=["binary16", "bfloat16"])
def test_every_16_bit_number_is_rounded(dtype, source):
    assert_same_codes(ALL_16.view(source), dtype)


def hard_float32(fmt):
    """Numbers of the format, halfway points, their neighbours in binary32; the borders are among them."""
    codes = np.arange(min(fmt.max_code + 1, 2**15), dtype=code_dtype(fmt))
    numbers = decode(codes, fmt)
    numbers = np.append(numbers, 2 * numbers[-1] - numbers[-2])  # where the next one would be
    halfway = (numbers[:-1] + numbers[1:]) / 2
    with np.errstate(over="ignore"):
        points = np.concatenate([numbers, halfway]).astype(np.float32)
    around = [points]
    for towards in (-np.inf, np.inf):
        near = np.nextafter(points, np.float32(towards))
        around += [near, np.nextafter(near, np.float32(towards))]
    away = np.float32([np.inf, np.nan, 1e-45, 1e-38, 1.1754942e-38, 3.4028235e38, 1e9, 1e-9])
    values = np.concatenate([*around, away])
    return np.concatenate([values, -values])


@TARGETS
def test_hard_cases_of_binary32(dtype):
    assert_same_codes(hard_float32(FORMATS[dtype]), dtype)


@TARGETS
def test_a_sample_of_all_binary32_patterns(dtype):
    patterns = np.arange(0, 2**32, 65521, dtype=np.uint64).astype(np.uint32)
    assert_same_codes(patterns.view(np.float32), dtype)


def doubles():
    """Patterns of binary64 from everywhere, and numbers around the borders and halfway points of the smaller types."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, 2**64, 30_000, np.uint64).view(np.float64)
    anywhere = rng.integers(0, 2**32, 30_000, np.uint32).view(np.float32).astype(np.float64)
    half = np.spacing(np.abs(anywhere.astype(np.float32))).astype(np.float64) / 2
    small = rng.integers(0, 2**16, 5_000, np.uint16).view(np.float16).astype(np.float64)
    halfway = np.concatenate([anywhere + half, small * (1 + 2.0**-11), small + 2.0**-25])
    around = [halfway, np.nextafter(halfway, np.inf), np.nextafter(halfway, -np.inf)]
    borders = [0.0, -0.0, 65504, 65519.999, 65520, 2.0**-24, 2.0**-25, 2.0**-150, 2.0**-149, 3.4028235677973366e38, np.inf, -np.inf]
    return np.concatenate([patterns, anywhere, small, *around, borders])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("dtype", "name"), [(np.float16, "binary16"), (np.float32, "binary32"), (np.float64, "binary64")])
def test_numpy_rounds_the_same(dtype, name):
    values = doubles()
    with np.errstate(all="ignore"):
        expected = values.astype(dtype)
    codes = encode(values, name)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(codes[numbers], expected.view(codes.dtype)[numbers])
    assert np.isnan(decode(codes[~numbers], name)).all() and (~numbers).any()
    np.testing.assert_array_equal(decode(codes, name), expected.astype(np.float64))


def test_a_number_is_rounded_once():
    # The way through binary32 would lose the last bit, and round the tie that is left to the wrong side.
    value = 1 + 2.0**-8 + 2.0**-40
    assert encode(value, "bfloat16") == 0x3F81 and encode(np.float32(value), "bfloat16") == 0x3F80
    assert encode([2**62 + 2**38 + 1], "binary32") == encode("4611686293305294849", "binary32") == 0x5E800001


def test_saturation_as_ocp_has_it():
    values = [448.0, 464.0, 464.1, 1e9, np.inf, -np.inf]
    assert encode(values, "E4M3").tolist() == [0x7E, 0x7E, 0x7F, 0x7F, 0x7F, 0xFF]
    assert encode(values, "E4M3", saturate=True).tolist() == [0x7E] * 5 + [0xFE]
    assert encode([57344.0, 61439.0, 61440.0, np.inf], "E5M2").tolist() == [0x7B, 0x7B, 0x7C, 0x7C]
    assert encode([61440.0, np.inf, -1e9], "E5M2", saturate=True).tolist() == [0x7B, 0x7B, 0xFB]
    assert np.isnan(decode(encode(np.nan, "E4M3", saturate=True), "E4M3"))


def test_a_format_without_sign():
    fmt = Format("UE4M3", 4, 3, infinities=False, signed=False)
    assert encode([1.0, -0.0, -0.0001, -1.0, -np.inf], fmt).tolist() == [0x38, 0, 0, 0x7F, 0x7F]
    assert encode([-1.0, -np.inf, 1e9], fmt, saturate=True).tolist() == [0, 0, 0x7E]
    assert encode(-np.nan, fmt) == encode(-np.nan, fmt, saturate=True) == encode("-nan", fmt, saturate=True) == 0x7F
    assert [encode(text, fmt) for text in ("1", "-0", "-1/10000", "-1", "-inf")] == [0x38, 0, 0, 0x7F, 0x7F]


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4)])
def test_shapes_are_kept(shape):
    codes = encode(np.ones(shape), "E5M2")
    assert np.shape(codes) == shape and np.shape(decode(codes, "E5M2")) == shape


def test_strided_and_foreign_arrays():
    values = np.arange(12, dtype=np.float64).reshape(3, 4)
    np.testing.assert_array_equal(encode(values.T[::2], "E5M2"), encode(values, "E5M2").T[::2])
    np.testing.assert_array_equal(encode(values.astype(">f8"), "E5M2"), encode(values, "E5M2"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: decode(16, "E2M1"), "from 0 to 15, but 16"),
        (lambda: decode([3, -1], "E2M1"), "but -1 does not"),
        (lambda: decode(2**64, "binary64"), "a code has 64 bits"),
        (lambda: decode(1.0, "E2M1"), "codes are whole numbers, not float64"),
        (lambda: decode("7", "E2M1"), "codes are whole numbers"),
        (lambda: decode_exact(0x7C00, "binary16"), "only a finite number is a fraction"),
        (lambda: decode_exact(0x80, "E4M3FNUZ"), "only a finite number"),
        (lambda: encode(1.0, "E2M1", rounding="nearest"), "no rounding mode is called 'nearest'.*ties_to_even"),
        (lambda: encode(1.0, "E2M1", rounding="ties_to_evn"), "did you mean 'ties_to_even'"),
        (lambda: encode(1.0, "E2M1", rounding="stochastic"), "takes a seed.*pass seed=1"),
        (lambda: encode(1.0, "E2M1", rounding="stochastic", seed=-1), "a whole number from 0"),
        (lambda: encode(1.0, "E2M1", seed=3), "pass no seed"),
        (lambda: encode(1.0, "E2M1", saturate=False), "leave saturate out"),
        (lambda: encode(np.nan, "E2M1"), "E2M1 has no code for NaN"),
        (lambda: encode("nan", "E2M1"), "E2M1 has no code for NaN"),
        (lambda: encode("0,1", "E2M1"), "'0,1' is no number"),
        (lambda: encode("1/0", "E2M1"), "is no number"),
        (lambda: encode("1e999999999", "binary64"), "power of 999999999"),
        (lambda: encode("1" * 2001, "binary64"), "at most 2000 characters"),
        (lambda: encode(1j, "binary64"), "not complex128"),
        (lambda: encode([object()], "binary64"), "a value is no number"),
        (lambda: encode(np.longdouble(1), "binary64"), "convert them to float64"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
