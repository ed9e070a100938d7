"""The exact sum against math.fsum and fractions, in every regime of the format."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.floating_point.summation.accumulator import (
    NUM_ENTRIES,
    normalise,
    round_accumulator,
    round_whole_number,
    whole_number_of,
)
from labkit.floating_point.summation.dot import dot_exact
from labkit.floating_point.summation.exact import exact_accumulator, sum_exact
from labkit.openmp.team import Team

LARGEST = 1.7976931348623157e308


def rounded(exact: Fraction) -> float:
    """Python's division of whole numbers rounds once, ties to even."""
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def oracle(x) -> float:
    values = [float(value) for value in x]
    expected = rounded(sum(map(Fraction, values), Fraction(0)))
    try:
        assert math.fsum(values) == expected
    except OverflowError:  # of a partial sum
        pass
    return expected


def same(a, b) -> bool:
    return float(a).hex() == float(b).hex()


def any_patterns(rng, n):
    x = rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64).copy()
    x[~np.isfinite(x)] = 0
    return x


def with_opposites(rng, n):
    y = any_patterns(rng, n // 2)
    return rng.permutation(np.concatenate([y, -y, any_patterns(rng, n % 2) * 1e-250]))


KINDS = {
    "uniform": lambda rng, n: rng.random(n),
    "normal, any scale": lambda rng, n: np.ldexp(rng.standard_normal(n), rng.integers(-1060, 1012)),
    "40 binades": lambda rng, n: np.ldexp(rng.standard_normal(n), rng.integers(-20, 21, n)),
    "400 binades": lambda rng, n: np.ldexp(rng.standard_normal(n), rng.integers(-200, 201, n)),
    "any patterns": any_patterns,
    "opposites": with_opposites,
    "subnormal": lambda rng, n: rng.integers(-(2**52), 2**52, n) * 5e-324,
    "powers of two": lambda rng, n: np.ldexp(rng.choice([-1.0, 1.0], n), rng.integers(-1074, 1024, n)),
    "largest": lambda rng, n: LARGEST * rng.choice([-1.0, 1.0, 1.0], n),
    "near overflow": lambda rng, n: rng.permutation(np.resize([1e308, -1e308], n)),
    "zeros": lambda rng, n: rng.choice([0.0, -0.0], n),
    "one large": lambda rng, n: np.where(np.arange(n) == n // 3, 1e300, rng.standard_normal(n) * 1e-300),
}


@pytest.mark.parametrize("n", [0, 1, 2, 3, 127, 128, 129, 2047, 2048, 2049, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_correctly_rounded(kind, n):
    rng = np.random.default_rng([n, len(kind)])
    x = KINDS[kind](rng, n)
    expected = oracle(x)
    for result in (sum_exact(x), sum_exact(rng.permutation(x)), sum_exact(x, team=Team(3))):
        assert same(result, expected)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40))
@example([-0.0])
@example([LARGEST, 2.0**969])  # just below the tie between the largest number and infinity
@example([LARGEST, 2.0**970])  # the tie: to even, infinity
@example([LARGEST, 2.0**970, -5e-324])
@example([LARGEST, LARGEST, -LARGEST, -5e-324])
@example([1.0, 2.0**-53]) 
@example([1.0, 2.0**-53, 5e-324])
@example([1 + 2.0**-52, 2.0**-53])
@example([2.0**-1022, -5e-324])
def test_any_list_of_floats(values):
    assert same(sum_exact(values), oracle(values))


def test_long_arrays_on_all_cores():
    rng = np.random.default_rng(5)
    x = np.ldexp(rng.standard_normal(300_000), rng.integers(-30, 31, 300_000))
    x[100_000:100_100] = any_patterns(rng, 100)
    expected = oracle(x)
    assert same(sum_exact(x), expected)
    assert all(same(sum_exact(x, team=Team(t)), expected) for t in (1, 2, 5, 8))


@pytest.mark.parametrize("team", [None, Team(2)])
def test_single_precision_is_rounded_once(team):
    rng = np.random.default_rng(6)
    for n in (1, 5, 300, 5000):
        x = rng.integers(0, 2**32, n, dtype=np.uint32).view(np.float32).copy()
        x[~np.isfinite(x)] = 0
        x *= np.float32(rng.choice([1.0, 1e-20]))
        exact = sum(map(Fraction, x.tolist()), Fraction(0))
        result = sum_exact(x, team=team)
        assert type(result) is np.float32
        near = [np.nextafter(result, np.float32(s), dtype=np.float32) for s in (-np.inf, np.inf)]
        if np.isfinite(near).all():  # no neighbour is nearer
            assert all(abs(Fraction(float(result)) - exact) <= abs(Fraction(float(other)) - exact) for other in near)
    # Rounded to float64 first, this would be a tie, and go to even: 1.
    assert sum_exact(np.array([1.0, 2.0**-24, 2.0**-80], np.float32)) == np.float32(1 + 2.0**-23)
    assert sum_exact(np.array([3e38, 3e38], np.float32)) == np.inf
    assert sum_exact(np.array([3e38, 3e38, -3e38], np.float32)) == np.float32(3e38)
    assert sum_exact(np.array([1e-45], np.float32)) == np.float32(1e-45)


def test_special_values():
    inf, nan = math.inf, math.nan
    for x, expected in [
        ([inf], inf), ([-inf, 1.0, -inf], -inf), ([inf, LARGEST, LARGEST], inf), ([inf, -inf], nan), ([nan, inf], nan),
        ([nan], nan), ([-nan, 1.0], nan), ([LARGEST, LARGEST], inf), ([-LARGEST, -LARGEST], -inf),
    ]:
        for padded in (x, x + [0.0] * 3000):
            assert same(sum_exact(padded), expected) and same(sum_exact(padded, team=Team(2)), expected)


def test_accumulators_are_equal_where_sums_are():
    x = np.random.default_rng(7).standard_normal(9000)
    total = exact_accumulator(x)
    np.testing.assert_array_equal(total, exact_accumulator(x[::-1], team=Team(4)))
    parts = sum(exact_accumulator(part) for part in np.array_split(x, 7))
    np.testing.assert_array_equal(total, normalise(parts))
    assert whole_number_of(parts) == sum(map(Fraction, x.tolist())) * 2**1074
    negative = exact_accumulator([-1.0, 5e-324])
    assert whole_number_of(negative) == -(2**1074) + 1 and (negative[:-4] >= 0).all()


def test_round_whole_number_against_division():
    rng = np.random.default_rng(8)
    for _ in range(500):
        number = int(rng.integers(-(2**62), 2**62)) << int(rng.integers(0, 200)) | int(rng.integers(0, 3))
        exponent = int(rng.integers(-1300, 900))
        expected = rounded(Fraction(number) * Fraction(2) ** exponent)
        assert same(round_whole_number(number, exponent), expected)


def test_other_arrays_are_no_accumulators():
    for wrong in (np.zeros(NUM_ENTRIES - 1, np.int64), np.zeros(NUM_ENTRIES)):
        with pytest.raises(UsageError, match="an accumulator is an array of int64 with 73 entries"):
            round_accumulator(wrong)


@pytest.mark.parametrize("n", [1, 3, 130, 2048, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_dot_products_correctly_rounded(kind, n):
    rng = np.random.default_rng([n, len(kind), 1])
    x = KINDS[kind](rng, n)
    for y in (KINDS[kind](rng, n), rng.standard_normal(n), np.ldexp(1.0, rng.integers(-1074, 1023, n))):
        exact = sum((Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)), Fraction(0))
        assert same(dot_exact(x, y), rounded(exact)) and same(dot_exact(y, x, team=Team(2)), rounded(exact))


def test_dot_products_that_underflow_or_overflow():
    assert dot_exact([1e-200, 1e-200], [1e-200, -1e-200]) == 0.0
    assert dot_exact([2.0**-600] * 2, [2.0**-475, 2.0**-475]) == 2.0**-1074
    assert dot_exact([2.0**-1074], [2.0**-1074]) == 0.0
    assert dot_exact([2.0**-1074, 1.0], [2.0**-1074, 1.0]) == 1.0
    assert dot_exact([LARGEST, LARGEST], [LARGEST, -LARGEST]) == 0.0
    assert dot_exact([LARGEST], [2.0]) == math.inf and dot_exact([-LARGEST], [LARGEST]) == -math.inf
    assert math.isnan(dot_exact([0.0], [math.inf])) and dot_exact([-2.0], [math.inf]) == -math.inf
    assert math.isnan(dot_exact([math.inf, 1.0], [1.0, -math.inf]))


def test_dot_products_in_single_precision():
    rng = np.random.default_rng(9)
    x, y = (np.ldexp(rng.standard_normal(3000), rng.integers(-100, 100, 3000)).astype(np.float32) for _ in range(2))
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True))
    with np.errstate(over="ignore"):
        expected = np.float32(float(exact))  # no tie of float32 among these, so rounding twice is rounding once
    assert dot_exact(x, y) == expected == dot_exact(x, y, team=Team(2))
    assert math.isnan(dot_exact(np.array([np.inf], np.float32), np.zeros(1, np.float32)))
