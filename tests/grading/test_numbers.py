"""Numbers as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.grading.numbers import read_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("102", 102), (" 1e-6 ", 1e-6), ("1E6", 1e6), (".5", 0.5), ("5.", 5), ("-3", -3), ("+3", 3),
        ("3/4", 0.75), ("3 / 4", 0.75),
        ("1 000", 1000), ("1 000 000.5", 1000000.5), ("1_000", 1000), ("1\u202f000", 1000), ("1\u00a0000", 1000),
        ("2**20", 2**20), ("2^10", 1024), ("10**-6", 1e-6), ("1 000/4", 250),
        ("102us", 102), ("102 us", 102), ("102 µs", 102), ("102 μs", 102), ("1e2 us", 100),
    ],
)
def test_numbers_are_read_as_people_write_them(text, value):
    assert read_number(text, "us") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,5", "a comma can mean two things"), ("1,000", "a comma can mean two things"),
        (",5", "a comma can mean two things"),
        ("about 5", "cannot be read"), ("", "cannot be read"), ("1 00", "cannot be read"), ("12 34", "cannot be read"),
        ("1/0", "divides by zero"), ("0**-1", "divides by zero"), ("1e999", "too large"), ("9**9999", "too large"),
        ("(-8)**0.5", "cannot be read"), ("-8**0.5", "no real number"),
        ("nan", "cannot be read"), ("inf", "cannot be read"),
        ("5 ms", "asked for in us, not in ms"), ("1/2/3", "cannot be read"), ("__import__('os')", "cannot be read"),
    ],
)
def test_what_is_no_number_is_explained(text, words):
    with pytest.raises(UsageError) as caught:
        read_number(text, "us")
    assert words in str(caught.value)


def test_units_do_not_mix_up_milli_and_mega():
    assert read_number("3 rounds", "rounds") == read_number("1 round", "rounds") + 2
    for unit in ("Ms", "m", "s", "mss"):
        with pytest.raises(UsageError, match=f"not in {unit};"):
            read_number(f"3 {unit}", "ms")
    with pytest.raises(UsageError, match="without a unit"):
        read_number("3 ms")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_python_writes_is_read_back(value):
    assert read_number(repr(value)) == value


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_usage_error(text):
    try:
        assert math.isfinite(read_number(text, "us"))
    except UsageError:
        pass
