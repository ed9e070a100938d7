"""Conversion to integers against NumPy's and ctypes' own, and the flight against the report."""

import ctypes

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.accidents import ariane, to_integer

VALUES = np.array([0.0, -0.9, 1.99, 32767.0, 32767.99, 32768.0, -32768.99, -32769.0, 65536.5, 1e9, -1e15, 2.0**62])


def test_wrapping_is_what_c_does():
    found = to_integer(VALUES, on_overflow="wrap").integers
    assert found.tolist() == [ctypes.c_int16(int(value)).value for value in VALUES]
    found = to_integer(VALUES, num_bits=8, on_overflow="wrap").integers
    assert found.tolist() == [ctypes.c_int8(int(value)).value for value in VALUES]


def test_saturating_is_clipping():
    found = to_integer(VALUES, on_overflow="saturate")
    assert found.integers.tolist() == np.clip(np.trunc(VALUES), -32768, 32767).tolist()
    assert found.num_overflows == 6 and found.trapped_at is None


def test_a_trap_ends_the_program():
    found = to_integer(VALUES)
    assert (found.integers.tolist(), found.trapped_at) == ([0, 0, 1, 32767, 32767], 5)
    assert to_integer(VALUES[:5]).trapped_at is None and to_integer(VALUES[:5]).integers.size == 5
    assert to_integer([]).integers.size == 0


def test_the_flight_ends_where_the_report_says():
    flight = ariane()
    at = flight.converted.trapped_at
    assert flight.times_s[at] == 36.7 and flight.bias[at - 1] < 32768 <= flight.bias[at]
    assert (np.diff(flight.bias) > 0).all()
    assert ariane(num_bits=32).converted.trapped_at is None
    wrapped = ariane(on_overflow="wrap").converted
    assert wrapped.integers[at] == -32768 and wrapped.num_overflows == flight.times_s.size - at
    assert (ariane(on_overflow="saturate").converted.integers[at:] == 32767).all()
    assert ariane(120, growth=0.2).times_s[ariane(120, growth=0.2).converted.trapped_at] == pytest.approx(36.7 * 5**0.5, abs=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: to_integer([1.0], on_overflow="trapp"), "did you mean 'trap'"),
        (lambda: to_integer([1.0], num_bits=1), "num_bits is a whole number from 2 to 62"),
        (lambda: to_integer([np.nan]), "finite and at most"), (lambda: to_integer([2.0**63]), "finite and at most"),
        (lambda: to_integer(["1"]), "numbers in one row"), (lambda: to_integer([[1.0]]), "numbers in one row"),
        (lambda: ariane(0), "num_seconds is a number from 0.1"), (lambda: ariane(growth=-1), "growth is a number"),
        (lambda: ariane(samples_per_s=0), "samples_per_s"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
