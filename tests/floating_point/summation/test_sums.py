"""Every sum and dot product of the registry: against fractions, inside its bound, on all kinds of input."""

import math
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.summation.adversarial import hard_dot, hard_sum
from labkit.floating_point.summation.bounds import a_priori_bound
from labkit.floating_point.summation.registry import ALGORITHMS, DOTS, SUMS, find_sum
from labkit.openmp.team import Team

SIZES = [0, 1, 2, 3, 7, 127, 128, 129, 255, 1000, 4097]


def fractions_of(x):
    return [Fraction(float(value)) for value in x]


def terms(n, dtype, seed=3):
    rng = np.random.default_rng(seed)
    return np.ldexp(rng.standard_normal(n), rng.integers(-8, 9, n)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_lies_inside_its_bound(name, n, dtype):
    x = terms(n, dtype)
    given = x.copy()
    value = SUMS[name].function(x)
    assert type(value) is (float if dtype == np.float64 else np.float32)
    assert abs(Fraction(float(value)) - sum(fractions_of(x), Fraction(0))) <= a_priori_bound(name, x)
    np.testing.assert_array_equal(x, given)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", DOTS)
def test_a_dot_product_lies_inside_its_bound(name, n, dtype):
    x, y = terms(n, dtype), terms(n, dtype, seed=4)
    value = DOTS[name].function(x, y)
    assert type(value) is (float if dtype == np.float64 else np.float32)
    exact = sum((a * b for a, b in zip(fractions_of(x), fractions_of(y), strict=True)), Fraction(0))
    assert abs(Fraction(float(value)) - exact) <= a_priori_bound(name, x, y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 100, 1000])
def test_textbook_sums_are_their_definitions_bit_for_bit(n, dtype):
    """The algorithms once more, in NumPy scalars, as they are printed."""
    x = terms(n, dtype)
    total = kahan = kahan_c = neumaier = neumaier_c = dtype(0)
    for term in x:
        total = total + term
        y = term - kahan_c
        t = kahan + y
        kahan_c, kahan = (t - kahan) - y, t
        t = neumaier + term
        large, small = (neumaier, term) if abs(neumaier) >= abs(term) else (term, neumaier)
        neumaier_c, neumaier = neumaier_c + ((large - t) + small), t
    assert find_sum("recursive").function(x) == total
    assert find_sum("kahan").function(x) == kahan
    assert find_sum("neumaier").function(x) == neumaier + neumaier_c == find_sum("twofold").function(x)

    def pairwise(values):  # blocks of 16, then the largest power of two of them to the left
        num_blocks = -(-len(values) // 16)
        if num_blocks == 1:
            total = values[0]
            for value in values[1:]:
                total = total + value
            return total
        left = 1 << ((num_blocks - 1).bit_length() - 1)
        return pairwise(values[: 16 * left]) + pairwise(values[16 * left :])

    assert find_sum("pairwise").function(x, block_size=16) == pairwise(list(x))

    work = list(x)
    for _ in range(3):
        for i in range(1, n):
            a, b = work[i], work[i - 1]
            s = a + b
            z = s - a
            work[i], work[i - 1] = s, (a - (s - z)) + (b - z)
    folded = dtype(0)
    for value in work:
        folded = folded + value
    assert find_sum("kfold").function(x, num_folds=4) == folded


def test_accuracy_grows_with_the_algorithm():
    """At a condition number of 1e25 a plain or Kahan's sum has nothing left, twofold 7 digits, threefold all."""
    hard = hard_sum(2000, 1e25)

    def error(name, **options):
        return float(abs(Fraction(SUMS[name].function(hard.x, **options)) - hard.exact) / abs(hard.exact))

    assert min(error("recursive"), error("pairwise"), error("kahan")) > 1
    assert 1e-12 < error("twofold") < 1e-4 and 1e-12 < error("twofold_threaded") < 1e-4
    assert error("kfold") <= 2**-52 and error("exact") <= 2**-53
    hard = hard_dot(2000, 1e25)
    errors = {
        name: float(abs(Fraction(member.function(hard.x, hard.y)) - hard.exact) / abs(hard.exact))
        for name, member in DOTS.items()
    }
    assert errors["dot_recursive"] > 1 and errors["dot_exact"] <= 2**-53
    assert 1e-12 < errors["dot_twofold"] < 1e-4 and errors["dot_twofold_threaded"] < 1e-4


@pytest.mark.parametrize("name", ALGORITHMS)
def test_infinities_and_nan_go_their_way(name):
    function = ALGORITHMS[name].function
    for value, expected in [(np.inf, np.inf), (-np.inf, -np.inf), (np.nan, np.nan)]:
        for at in (0, 1, 150, 299):
            x = np.ones(300)
            x[at] = value
            result = function(x, np.ones(300)) if ALGORITHMS[name].is_dot else function(x)
            assert result == expected or (math.isnan(result) and math.isnan(expected)), (at, value, result)
    x = np.ones(300)
    x[[5, 200]] = np.inf, -np.inf
    assert math.isnan(function(x, np.ones(300)) if ALGORITHMS[name].is_dot else function(x))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_taken_and_what_is_refused(name):
    member = ALGORITHMS[name]
    function = (lambda x: member.function(x, x)) if member.is_dot else member.function
    x = terms(601, np.float64)
    assert function(x[::-2]) == function(x[::-2].copy())
    assert function(x.astype(">f8")) == function(x)
    assert function(x.tolist()) == function(x)
    assert function([]) == 0.0 and math.copysign(1, function(np.zeros(0))) == 1
    read_only = x.copy()
    read_only.flags.writeable = False
    assert function(read_only) == function(x)
    for wrong, words in [
        (x.reshape(1, -1), r"one dimension, but their shape is \(1, 601\): pass x.ravel"),
        (np.float64(1), "one dimension"),
        (np.arange(3), "not int64.*astype"),
        ([1, 2], "not int64"),
        (np.ones(3, bool), "not bool"),
        (np.array([1.0, None]), "float64 or float32, not object"),
        (np.ones(3, np.float16), "not float16"),
        (np.ones(3, complex), "not complex128"),
        (["0.1"], "float64 or float32"),
    ]:
        with pytest.raises(UsageError, match=words):
            function(wrong)


def test_vectors_of_a_dot_product_fit():
    for x, y in [(np.ones(3), np.ones(4)), (np.ones(3), np.ones(3, np.float32))]:
        with pytest.raises(UsageError, match="one length and type"):
            find_sum("dot_exact").function(x, y)


def test_options_out_of_range_say_the_rule():
    for call, words in [
        (lambda: find_sum("pairwise").function([1.0], block_size=0), "block_size is a whole number from 1"),
        (lambda: find_sum("kfold").function([1.0], num_folds=0.5), "num_folds is a whole number from 1 to 64"),
        (lambda: find_sum("exact").function([1.0], team=2), "team is a .*Team or None, not 2"),
        (lambda: find_sum("kahn"), "no sum 'kahn'; the sums are recursive"),
    ]:
        with pytest.raises(UsageError, match=words):
            call()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["twofold_threaded", "dot_twofold_threaded"])
def test_compensated_sums_have_the_same_bits_for_any_team(name, dtype):
    x = hard_sum(100_000, 1e12 if dtype == np.float64 else 1e5, dtype=dtype).x
    arguments = (x, x[::-1].copy()) if ALGORITHMS[name].is_dot else (x,)
    results = {ALGORITHMS[name].function(*arguments, team=team) for team in (None, Team(1), Team(2), Team(3), Team(8))}
    assert len(results) == 1


def test_a_plain_reduction_depends_on_the_team():
    x = terms(100_000, np.float64)
    assert len({find_sum("reduction").function(x, team=Team(t)) for t in (1, 2, 3, 4, 8)}) > 1
    assert find_sum("reduction").function(x, team=Team(1)) == find_sum("recursive").function(x)


def test_the_registry_knows_all():
    assert {"recursive", "pairwise", "kahan", "neumaier", "twofold", "kfold", "exact", "reproducible"} <= set(SUMS)
    assert all(member.summary.endswith(".") and member.num_flops >= 1 for member in ALGORITHMS.values())
