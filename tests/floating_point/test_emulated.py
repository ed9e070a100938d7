"""Arithmetic in a format against NumPy's own types, ml_dtypes, and exact fractions rounded by the codec."""

import operator
from fractions import Fraction

import ml_dtypes
import mpmath
import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.emulated import Arithmetic, sqrt_to_round
from labkit.floating_point.formats import Format

OPERATIONS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
TYPES = {
    "binary16": np.float16, "binary32": np.float32, "binary64": np.float64, "bfloat16": ml_dtypes.bfloat16,
    "E5M2": ml_dtypes.float8_e5m2,
}
BETWEEN = Format("E11M40", 11, 40)  # neither narrow nor binary64: computed with fractions


def numbers_of(fmt, num, seed=0):
    """Random numbers of a format, every exponent of it, with zeros, infinities and NaN among them."""
    width = Arithmetic(fmt).fmt.num_bits
    codes = np.random.default_rng(seed).integers(0, 2**width, num, np.uint64, endpoint=False)
    return np.concatenate([decode(codes, fmt), [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan]])



@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_those_of_the_type(name, operation):
    x, y = numbers_of(name, 3000, 1), numbers_of(name, 3000, 2)[::-1]
    near = x * (1 + Arithmetic(name).unit_roundoff * 6)  # sums that cancel
    for y in (y, Arithmetic(name).round(near)):
        with np.errstate(all="ignore"):
            theirs = OPERATIONS[operation](x.astype(TYPES[name]), y.astype(TYPES[name])).astype(np.float64)
        ours = getattr(Arithmetic(name), operation)(x, y)
        assert np.array_equal(ours, theirs, equal_nan=True)
        numbers = ~np.isnan(theirs)
        assert np.array_equal(np.signbit(ours[numbers]), np.signbit(theirs[numbers]))


@pytest.mark.parametrize("fmt", ["binary32", "TF32", "E4M3", BETWEEN, Format("E8M24", 8, 24)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_exact_results_rounded_once(fmt, operation):
    op = Arithmetic(fmt)
    x, y = op.round(numbers_of(fmt, 200, 3)), op.round(numbers_of(fmt, 200, 4)[::-1])
    for y in (y, op.round(x * (1 + op.unit_roundoff * 6))):
        ours = getattr(op, operation)(x, y)
        for a, b, got in zip(x, y, ours, strict=True):
            if np.isfinite([a, b]).all() and (b or operation != "div"):
                exact = OPERATIONS[operation](Fraction(a), Fraction(b))
                assert got == decode(encode(exact, fmt), fmt) or (np.isnan(got) and np.isnan(decode(encode(exact, fmt), fmt)))


@pytest.mark.parametrize("fmt", ["binary16", "binary32", "binary64", BETWEEN, Format("E8M24", 8, 24)])
def test_square_roots_are_rounded_once(fmt):
    op = Arithmetic(fmt)
    x = np.abs(numbers_of(fmt, 300, 5))
    x = np.concatenate([x, op.mul(op.round(np.arange(20.0)), op.round(np.arange(20.0)))])
    with mpmath.workprec(400):
        for number, got in zip(x, op.sqrt(x), strict=True):
            if np.isfinite(number):
                man, exponent = mpmath.sqrt(mpmath.mpf(float(number))).man_exp
                assert got == decode(encode(Fraction(man) * Fraction(2) ** exponent, fmt), fmt)


@pytest.mark.parametrize("x", [Fraction(1, 3), Fraction(2), Fraction(10**40 + 1), Fraction(1, 10**40), Fraction(49, 4)])
def test_the_cut_root_lies_on_the_right_side(x):
    for num_bits in (4, 11, 60):
        root = sqrt_to_round(x, num_bits)
        if root * root == x:
            continue
        unit = 2 * Fraction(root.numerator & -root.numerator, root.denominator)  # twice the last bit of the root
        below = root // unit * unit
        assert below**2 < x < (below + unit) ** 2 and below < root < below + unit
        assert below / unit >= 2 ** (num_bits - 2)  # so many bits are right


@pytest.mark.parametrize("fmt", [Format("E11M50", 11, 50), Format("E8M50", 8, 50)])
def test_what_is_rounded_matters(fmt):
    """The second rounding is not the same as one where the format is too wide for it: then fractions are used."""
    op = Arithmetic(fmt)
    rng = np.random.default_rng(6)
    x, y = (op.round(rng.uniform(1, 2, 4000)) for _ in range(2))
    twice = op.round(x * y)
    once = op.mul(x, y)
    assert (once != twice).any() and np.abs(once - twice).max() <= 2 * float(op.fmt.epsilon)


def test_a_sum_is_taken_in_order():
    terms = np.array([2048.0, 1.0, 1.0, -2048.0])
    assert Arithmetic("binary16").sum(terms) == 0 and Arithmetic("binary32").sum(terms) == 2
    assert Arithmetic("binary16").sum(terms[::-1]) == 2 and Arithmetic("binary16").sum(terms[[0, 3, 1, 2]]) == 2


def test_bad_input():
    with pytest.raises(UsageError, match="no format is called"):
        Arithmetic("binary17")
    with pytest.raises(UsageError, match="no code for NaN"):
        Arithmetic("E2M1").div(0, 0)
    with pytest.raises(UsageError, match="negative number has no real root"):
        sqrt_to_round(Fraction(-1), 10)
