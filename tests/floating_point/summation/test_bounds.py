"""Bounds hold on hard inputs and say something; hard inputs are as hard as asked for."""

import math
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.summation.adversarial import condition_number, hard_dot, hard_sum
from labkit.floating_point.summation.bounds import RUNNING, a_priori_bound, gamma, sum_with_running_bound
from labkit.floating_point.summation.errors import error_ulp, errors_by_condition, relative_error
from labkit.floating_point.summation.registry import DOTS, SUMS

U = {np.float64: 2.0**-53, np.float32: 2.0**-24}
CASES = [(np.float64, c) for c in (1, 1.5, 10, 1e8, 1e16, 1e31, 1e60, 1e120)] + [
    (np.float32, c) for c in (1, 30, 1e7, 1e20)
]


def inputs(dtype, condition):
    yield hard_sum(500, condition, dtype=dtype).x
    yield np.sort(hard_sum(500, condition, seed=2, dtype=dtype).x)
    x = hard_sum(500, condition, seed=3, dtype=dtype).x
    yield x[np.argsort(-abs(x))]


@pytest.mark.parametrize(("dtype", "condition"), CASES)
@pytest.mark.parametrize("name", SUMS)
def test_a_priori_bounds_hold(name, dtype, condition):
    for x in inputs(dtype, condition):
        exact = sum(map(Fraction, x.tolist()))
        assert abs(Fraction(float(SUMS[name].function(x))) - exact) <= a_priori_bound(name, x)


@pytest.mark.parametrize(("dtype", "condition"), [case for case in CASES if case[1] >= 4])
@pytest.mark.parametrize("name", DOTS)
def test_a_priori_bounds_of_dot_products_hold(name, dtype, condition):
    hard = hard_dot(500, condition, dtype=dtype)
    value = float(DOTS[name].function(hard.x, hard.y))
    assert abs(Fraction(value) - hard.exact) <= a_priori_bound(name, hard.x, hard.y)


@pytest.mark.parametrize(("dtype", "condition"), CASES)
@pytest.mark.parametrize("name", RUNNING)
def test_running_bounds_hold_and_have_the_sum_s_bits(name, dtype, condition):
    for x in inputs(dtype, condition):
        result = sum_with_running_bound(name, x)
        assert result.value == float(SUMS[name].function(x))  # NumPy would compare in float32
        assert abs(Fraction(result.value) - sum(map(Fraction, x.tolist()))) <= result.bound


@pytest.mark.parametrize("name", RUNNING)
def test_running_sums_of_float32_are_float32(name):
    x = np.array([0.1, 0.2, 0.3], np.float32)
    value = sum_with_running_bound(name, x).value
    assert value == float(np.float32(value)) == float(SUMS[name].function(x))


@pytest.mark.parametrize("condition", [1.0, 1.01, 1.5, 2.0, 3.0, 3.99])
@pytest.mark.parametrize("num_terms", [8, 9, 10, 30, 1000])
def test_small_condition_numbers_of_few_terms(num_terms, condition):
    for seed in range(30):
        for dtype in (np.float64, np.float32):
            hard = hard_sum(num_terms, condition, seed=seed, dtype=dtype)
            assert condition / 2 <= condition_number(hard.x) <= 2 * condition
            assert hard.exact == sum(map(Fraction, hard.x.tolist())) and hard.x.size == num_terms


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_running_bounds_are_their_definition(dtype):
    x = hard_sum(300, 1e5, dtype=dtype).x
    partial, running = dtype(0), 0.0
    for i, term in enumerate(x):
        partial = partial + term
        running += abs(float(partial)) if i else 0.0
    bound = sum_with_running_bound("recursive", x).bound
    assert bound == pytest.approx(U[dtype] * running, rel=1e-9) and bound >= U[dtype] * running
    single = sum_with_running_bound("pairwise", x[:4], block_size=1).bound
    pairs = [x[0] + x[1], x[2] + x[3]]
    assert single == pytest.approx(U[dtype] * float(abs(pairs[0]) + abs(pairs[1]) + abs(pairs[0] + pairs[1])), rel=1e-6)


def test_bounds_say_something():
    """Running bounds are below a-priori ones, not far above the error, and both can nearly be reached."""
    x = np.random.default_rng(1).standard_normal(10_000)
    exact = sum(map(Fraction, x.tolist()))
    for name in ("recursive", "pairwise"):
        running, a_priori = sum_with_running_bound(name, x).bound, a_priori_bound(name, x)
        error = float(abs(Fraction(SUMS[name].function(x)) - exact))
        assert error <= running < a_priori / 5
        assert running < 2000 * error
    # Every addition errs by half a unit, in one direction: u to the sum 1, many times.
    x = np.array([1.0] + [2.0**-53] * 5000)
    exact = sum(map(Fraction, x.tolist()))
    error = float(abs(Fraction(SUMS["recursive"].function(x)) - exact))
    assert error > 0.99 * sum_with_running_bound("recursive", x).bound
    assert error > 0.99 * a_priori_bound("recursive", x)
    hard = hard_sum(1000, 1e24)  # twofold: what is known on the way is far better than what is known before
    error = float(abs(Fraction(SUMS["twofold"].function(hard.x)) - hard.exact))
    running, a_priori = sum_with_running_bound("twofold", hard.x).bound, a_priori_bound("twofold", hard.x)
    assert error <= running < a_priori / 3 and running < 1e6 * error
    assert a_priori_bound("exact", hard.x) <= 2**-52 * abs(float(hard.exact))


def test_constants_of_bounds():
    assert gamma(10, 0.01) == pytest.approx(10 * 0.01 / 0.9) and gamma(100, 0.01) == math.inf
    x = np.ones(1025)
    u = 2.0**-53
    assert a_priori_bound("recursive", x) == pytest.approx(1024 * u * 1025, rel=1e-9)
    assert a_priori_bound("pairwise", x) == pytest.approx((127 + 4) * u * 1025, rel=1e-9)  # 9 blocks: 4 levels
    assert a_priori_bound("kahan", x) == pytest.approx(2 * u * 1025, rel=1e-9)
    assert a_priori_bound("twofold", x) == pytest.approx(u * 1025, rel=1e-9)
    assert a_priori_bound("recursive", [3.0]) == 0.0 == a_priori_bound("pairwise", [])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [8, 100, 1001])
@pytest.mark.parametrize("condition", [1, 1.2, 3, 4, 50, 1e6, 1e12, 1e24, 1e31, 1e100, 1e250])
def test_condition_numbers_are_as_chosen(condition, n, dtype):
    num_bits = np.finfo(dtype).nmant + 1
    num_corrections = 2 + math.ceil(math.log2(condition) / num_bits)
    if (dtype == np.float32 and condition > 1e25) or num_corrections > n // 2:
        with pytest.raises(UsageError, match="needs .* terms or more|condition number lies from 1 to 1e"):
            hard_sum(n, condition, dtype=dtype)
        return
    for make in (hard_sum, hard_dot):
        if make is hard_dot and condition < 4:
            continue
        hard = make(n, condition, seed=7, dtype=dtype)
        assert condition / 2 <= hard.condition <= condition * 2, make
        assert hard.x.dtype == dtype and hard.x.shape == (n,)
        products = hard.x.tolist() if hard.y is None else None
        terms = [Fraction(v) for v in products] if products else [
            Fraction(a) * Fraction(b) for a, b in zip(hard.x.tolist(), hard.y.tolist(), strict=True)
        ]
        assert hard.exact == sum(terms)
        assert condition_number(hard.x, hard.y) == hard.condition
        again = make(n, condition, seed=7, dtype=dtype)
        np.testing.assert_array_equal(hard.x, again.x)


def test_condition_numbers_of_simple_sums():
    assert condition_number([1.0, 1.0]) == 1.0 and condition_number([3.0, -1.0]) == 2.0
    assert math.isnan(condition_number([0.0])) and math.isnan(condition_number([]))
    assert condition_number([1e300, 5e-324, -1e300]) == math.inf


def test_errors_in_ulp():
    assert error_ulp(1.0, Fraction(1)) == 0 and error_ulp(1 + 2.0**-52, Fraction(1)) == 1
    assert error_ulp(-1.0, Fraction(-1) - Fraction(1, 2**54)) == 0.25 and error_ulp(math.inf, Fraction(1)) == math.inf
    assert relative_error(0.0, Fraction(0)) == 0 and relative_error(1.0, Fraction(0)) == math.inf
    assert relative_error(math.nan, Fraction(1)) == math.inf and relative_error(1.5, Fraction(1)) == 0.5


def test_errors_by_condition():
    names = ["recursive", "twofold", "exact"]
    curves = errors_by_condition(names, [1e4, 1e14, 1e28, 1e45], num_terms=300, seed=3)
    assert [curve.name for curve in curves] == names
    for curve in curves:
        assert (curve.errors <= curve.bounds).all() and curve.num_terms == 300
        for k, hard in enumerate(hard_sum(300, c, seed=3 + k) for k, c in enumerate([1e4, 1e14, 1e28, 1e45])):
            assert curve.conditions[k] == hard.condition
            assert curve.errors[k] == relative_error(SUMS[curve.name].function(hard.x), hard.exact)
    assert (curves[0].errors <= curves[0].running).all() and np.isnan(curves[2].running).all()
    dots = errors_by_condition(["dot_recursive", "dot_exact"], [1e10], num_terms=100, dtype=np.float32)
    assert dots[1].errors[0] <= 2.0**-24 and dots[0].errors[0] > 1e-4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hard_sum(7, 10.0), "num_terms is a whole number from 8"),
        (lambda: hard_sum(100, 0.5), "condition number lies from 1 to 1e"),
        (lambda: hard_sum(100, math.nan), "condition number lies"),
        (lambda: hard_sum(100, 10.0, dtype=np.float16), "float64 or float32, not float16"),
        (lambda: hard_sum(8, 1e100), "needs 18 terms or more in float64, not 8"),
        (lambda: hard_dot(100, 2.0), "is 4 or more, not 2"),
        (lambda: condition_number([math.inf]), "all terms are finite"),
        (lambda: a_priori_bound("recursive", [1.0], [1.0]), "recursive takes one array"),
        (lambda: a_priori_bound("dot_exact", [1.0]), "takes two vectors"),
        (lambda: sum_with_running_bound("kahan", [1.0]), "one of recursive, pairwise"),
        (lambda: errors_by_condition(["exact", "dot_exact"], [10.0]), "sums alone or dot products alone"),
        (lambda: errors_by_condition(["exact"], []), "at least one condition number"),
    ],
)
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
