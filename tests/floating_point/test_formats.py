"""Formats: their constants against NumPy and ml_dtypes, and what makes no format."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.formats import PRESETS, Format, find_format

TYPES = {
    "binary16": np.float16, "binary32": np.float32, "binary64": np.float64, "bfloat16": ml_dtypes.bfloat16,
    "E4M3": ml_dtypes.float8_e4m3fn, "E5M2": ml_dtypes.float8_e5m2, "E2M1": ml_dtypes.float4_e2m1fn,
    "E3M2": ml_dtypes.float6_e3m2fn, "E2M3": ml_dtypes.float6_e2m3fn, "E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
}


@pytest.mark.parametrize("name", TYPES)
def test_constants_are_those_of_the_type(name):
    fmt, info = find_format(name), (np.finfo if name.startswith("binary") else ml_dtypes.finfo)(TYPES[name])
    assert fmt.max == Fraction(float(info.max))
    assert fmt.min_normal == Fraction(float(info.smallest_normal))
    assert fmt.min_subnormal == Fraction(float(info.smallest_subnormal))
    assert fmt.epsilon == Fraction(float(info.eps))
    assert fmt.precision == info.nmant + 1
    assert fmt.num_bits == info.bits
    assert fmt.max_exponent == np.frexp(float(info.max))[1] - 1


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in TYPES if name not in ("binary32", "binary64")])
def test_finite_values_are_counted(name):
    fmt = find_format(name)
    codes = np.arange(2**fmt.num_bits, dtype=np.uint16 if fmt.num_bits == 16 else np.uint8)
    values = codes.view(TYPES[name]).astype(np.float64)
    assert fmt.num_values == len(np.unique(values[np.isfinite(values)]))


def test_a_format_without_sign_has_half_the_values():
    fmt = Format("UE2M1", 2, 1, infinities=False, nan="none", signed=False)
    assert (fmt.num_bits, fmt.num_values, fmt.max) == (3, 8, 6)


def test_tf32_has_the_range_of_binary32_and_the_precision_of_binary16():
    tf32 = find_format("tf32")
    assert (tf32.num_bits, tf32.precision) == (19, PRESETS["binary16"].precision)
    assert (tf32.min_normal, tf32.max_exponent) == (PRESETS["binary32"].min_normal, PRESETS["binary32"].max_exponent)


@pytest.mark.parametrize(("name", "preset"), [("fp32", "binary32"), ("e4m3fn", "E4M3"), ("BF16", "bfloat16"), ("Binary64", "binary64")])
def test_other_names(name, preset):
    assert find_format(name) is PRESETS[preset]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((1, 3), {}, "exponent_bits is a whole number from 2 to 11, not 1"),
        ((12, 3), {}, "from 2 to 11, not 12"),
        ((5, 53), {}, "significand_bits is a whole number from 0 to 52, not 53"),
        ((5, -1), {}, "not -1"),
        ((5, 2.0), {}, "not 2.0"),
        ((True, 2), {}, "not True"),
        ((5, 2, "15"), {}, "bias is a whole number"),
        ((11, 52, 1024), {}, "bias=1024 with 11 exponent bits"),
        ((11, 52, 1022), {}, "choose a bias nearer to 1023"),
        ((5, 0), {}, "pass significand_bits=1 or more"),
        ((5, 2), {"nan": "quiet"}, "nan='quiet' is no encoding"),
        ((5, 2), {"nan": "none"}, "pass infinities=False"),
        ((5, 2), {"infinities": False, "nan": "ieee"}, "pass infinities=True"),
        ((5, 2), {"infinities": False, "nan": "minus_zero", "signed": False}, "needs a sign bit"),
    ],
)
def test_what_makes_no_format_says_why(arguments, options, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        Format("mine", *arguments, **options)


@pytest.mark.parametrize("name", ["binary46", "e4m2", "", None, 7])
def test_an_unknown_name_lists_the_known(name):
    with pytest.raises(UsageError, match="There are binary16, .*Format"):
        find_format(name)
    if name == "binary46":
        with pytest.raises(UsageError, match="did you mean 'binary64'"):
            find_format(name)
