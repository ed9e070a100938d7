"""Readings of codes against NumPy, Python's own writing of numbers, and exact arithmetic."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import decode
from labkit.floating_point.formats import PRESETS, find_format
from labkit.floating_point.reading import code_of_text, rational_text, read_code, stored_code


def value_of_binary(text):
    digits, power = text.split(" x 2^")
    whole, _, part = digits.lstrip("-").partition(".")
    value = Fraction(int(whole + part, 2), 2 ** len(part)) * Fraction(2) ** int(power)
    return -value if text.startswith("-") else value


@pytest.mark.parametrize("name", PRESETS)
def test_all_writings_say_the_same(name):
    fmt = find_format(name)
    rng = np.random.default_rng(1)
    codes = range(2**fmt.num_bits) if fmt.num_bits <= 8 else [int(c) for c in rng.integers(0, 2**fmt.num_bits, 200, np.uint64, endpoint=False)]
    for code in [*codes, 0, 1, fmt.sign_bit, fmt.max_code]:
        found = read_code(code, name)
        value = decode(code, name)
        if not np.isfinite(value):
            assert found.kind == ("NaN" if np.isnan(value) else "infinity") and found.rational == found.binary == ""
            continue
        assert found.value == Fraction(value) == Fraction(Decimal(found.decimal)) == value_of_binary(found.binary)
        top, _, bottom = found.rational.replace(" * ", "*").partition("/")
        factor, _, power = top.partition("*2^")
        below, _, exponent = bottom.partition("^")
        assert found.value == Fraction(int(factor) * 2 ** int(power or 0), int(below or 1) ** int(exponent or 1))
        kind = "zero" if value == 0 else "subnormal" if abs(value) < float(fmt.min_normal) else "normal"
        assert found.kind == kind
        (next_code, _), step = found.above, found.spacing
        if np.isfinite(decode(next_code, name)) and next_code != code and value > 0:
            assert Fraction(decode(next_code, name)) - found.value == step
        assert stored_code(code, name).code == code and (stored_code(code, name).error_ulp or 0) == 0


def test_neighbours_are_numpys():
    for value in (1.0, 0.1, -2.5, 5e-324, 1.7e308):
        code = int(np.float64(value).view(np.uint64))
        found = read_code(code, "binary64")
        assert float(found.above[1]) == np.nextafter(value, np.inf) and float(found.below[1]) == np.nextafter(value, -np.inf)
        assert float(found.decimal) == value and found.spacing == Fraction(float(np.spacing(abs(value))))
    assert read_code(0x7FEFFFFFFFFFFFFF, "binary64").above[1] == "infinity"
    assert read_code(0xFC00, "binary16").decimal == "-infinity" and read_code(0x8000, "binary16").decimal == "-0"


def test_texts_of_codes():
    assert code_of_text("0xFFFF", "bfloat16") == 65535 and code_of_text("0b1", "E2M1") == 1
    assert code_of_text("1e3", "E2M1") is None and rational_text(Fraction(2**70 + 1)) == str(2**70 + 1)
    for text, words in (("0x1_0000", "has 17"), ("0xg", "is no code"), ("0b2", "is no code"), ("0x__", "is no code")):
        with pytest.raises(UsageError, match=words):
            code_of_text(text, "binary16")
    with pytest.raises(UsageError, match="has 4 bits"):
        read_code(16, "E2M1")
