"""The states of online softmax: a commutative monoid with identity (-inf, 0); sums with exponents apart."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.softmax.online import NOTHING, merge, merge_tree, state
from labkit.softmax.two_pass import add_extended, extended_exp

logits = st.one_of(st.floats(-1e5, 1e5), st.just(-math.inf))
states = st.lists(logits, max_size=6).map(state)


def close(a, b):
    if a == NOTHING or b == NOTHING:
        return a == b
    return a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-14)


@settings(max_examples=300, deadline=None)
@given(states, states, states)
def test_monoid(a, b, c):
    assert close(merge(merge(a, b), c), merge(a, merge(b, c)))
    assert merge(a, b) == merge(b, a)
    assert merge(a, NOTHING) == a == merge(NOTHING, a)


@settings(max_examples=100, deadline=None)
@given(st.lists(logits, max_size=20), st.integers(0, 20))
def test_state_of_a_whole_from_its_parts(x, cut):
    assert close(merge(state(x[:cut]), state(x[cut:])), state(x))
    m, d = state(x)
    with mpmath.workdps(30):
        top = max(x, default=-math.inf)
        expected = mpmath.fsum(mpmath.exp(mpmath.mpf(v) - top) for v in x if v != -math.inf) if top > -math.inf else 0
    assert m == top and math.isclose(d, expected, rel_tol=1e-13)


def test_states_that_are_no_numbers():
    assert state([-math.inf] * 3) == NOTHING
    for x in ([1.0, math.nan], [math.nan], [math.inf], [0.0, math.inf, 0.0], [math.inf, -math.inf]):
        assert math.isnan(state(x)[1])
    assert math.isnan(merge(state([math.nan]), NOTHING)[1])


def test_arrays_of_states_merge_like_numbers():
    a, b = [(1.0, 2.0), NOTHING, (5.0, 1.0)], [(3.0, 1.0), (0.0, 4.0), NOTHING]
    first, second = (tuple(np.array(v) for v in zip(*s, strict=True)) for s in (a, b))
    found = list(zip(*(v.tolist() for v in merge(first, second)), strict=True))
    assert found == [merge(x, y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9])
def test_tree(size):
    x = [float(k % 4) for k in range(size)]
    levels = merge_tree([state([v]) for v in x])
    assert close(levels[-1][0], state(x)) and len(levels[-1]) == 1
    assert all(len(b) == -(-len(a) // 2) for a, b in zip(levels, levels[1:], strict=False))


def test_extended_exponents():
    x = np.array([0.0, 1.0, -745.0, 1e4, -1e4, 1e6, -1e6])
    a, n = extended_exp(x)
    assert (np.abs(np.log(a)) <= 0.3466).all()
    with mpmath.workdps(60):
        for v, significand, exponent in zip(x, a, n, strict=True):
            value = mpmath.mpf(float(significand)) * mpmath.mpf(2) ** int(exponent)
            assert abs(value / mpmath.exp(mpmath.mpf(float(v))) - 1) < 2e-16
    assert extended_exp(np.array([-np.inf]))[0] == 0
    total, exponent = add_extended((np.float64(1.5), np.float64(1000.0)), (np.float64(1.25), np.float64(998.0)))
    assert Fraction(float(total)) * Fraction(2) ** int(exponent) == Fraction(3, 2) * 2**1000 + Fraction(5, 4) * 2**998
