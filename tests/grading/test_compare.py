"""Expected against actual values: NumPy says what is near, and nothing is raised, whatever an answer brings."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labkit.grading.compare import difference, short
from labkit.grading.remote.wire import Odd

inf, nan = float("inf"), float("nan")


pytestmark = pytest.mark.filterwarnings("error")


numbers = st.one_of(
    st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.complex_numbers(), st.sampled_from([inf, -inf, nan, -0.0, 2**53 + 1])
)
dtypes = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(), hnp.complex_number_dtypes(),
    hnp.unicode_string_dtypes(), hnp.byte_string_dtypes(), hnp.datetime64_dtypes(), st.just(np.dtype("i4,f8")), st.just(np.dtype("O")),
)
arrays = dtypes.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)) if dtype.kind != "O"
                        else st.builds(lambda item: np.array([item, None], dtype=object), st.integers()))
scalars = dtypes.filter(lambda dtype: dtype.kind not in "OV").flatmap(lambda dtype: hnp.arrays(dtype, ())).map(lambda array: array[()])
leaves = st.one_of(
    st.none(), numbers, st.text(max_size=5), st.sampled_from(["1", "0.5", "nan", "\ud800", "a\0b"]), st.binary(max_size=4), arrays, scalars,
    st.just(Odd("Evil")), st.builds(lambda: 10**5000),  # which no repr can show
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=3) | st.integers() | st.tuples(st.integers()), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=500, deadline=None)
@given(values, values)
@example([1, 2], [[1], [2, 3]])
@example(10**30, 1e30)
@example(10**400, inf)
@example({"a": 1}, {1: 2, "b": 3})
@example(np.array(["a"]), np.array(["b"]))
def test_nothing_is_raised(expected, actual):
    found = difference(expected, actual)
    assert isinstance(found, str) and len(found) < 1000
    assert isinstance(short(actual), str) and len(short(actual)) <= 160


@settings(max_examples=200, deadline=None)
@given(values.filter(lambda value: not _has_odd(value)))
def test_a_value_equals_itself(value):
    assert difference(value, value) == ""


def _has_odd(value) -> bool:
    if isinstance(value, dict):
        return any(map(_has_odd, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_odd, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "OVMm"
    return isinstance(value, Odd) or isinstance(value, (np.datetime64, np.timedelta64))


floats = hnp.arrays(st.sampled_from([np.float64, np.float32, np.complex128]), st.integers(0, 5), elements={"allow_nan": True})


@settings(max_examples=200, deadline=None)
@given(floats, st.data())
def test_near_is_what_numpy_says(wanted, data):
    found = data.draw(hnp.arrays(wanted.dtype, wanted.shape, elements={"allow_nan": True}))
    with np.errstate(all="ignore"):
        slip = wanted.dtype.type(data.draw(st.sampled_from([0, 1e-14, 1e-9]))) * wanted
        close = wanted + slip if data.draw(st.booleans()) else found
    rtol, atol = data.draw(st.sampled_from([(1e-12, 0.0), (1e-6, 1e-3), (0.0, 0.0)]))
    with np.errstate(all="ignore"):
        oracle = np.isclose(close, wanted, rtol=rtol, atol=atol, equal_nan=True)
        too_large = np.isinf(np.abs(wanted)) & np.isfinite(wanted)  # a modulus that overflows: equal values only
        oracle = np.where(too_large, close == wanted, oracle)
    problem = difference(wanted, close, rtol, atol)
    assert (problem == "") == bool(np.all(oracle)), (problem, wanted, close)
    if problem:
        first = int(np.argmin(oracle))
        assert problem.startswith(f"element {first} is ") and f"({int(np.sum(~oracle))} of {wanted.size} differ" in problem


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**66), 2**66) | st.integers(-5, 5), max_size=5), st.data())
def test_integers_are_exact(wanted, data):
    found = list(wanted)
    if found and data.draw(st.booleans()):
        found[data.draw(st.integers(0, len(found) - 1))] += data.draw(st.sampled_from([-1, 0, 1, 2**64]))
    form = data.draw(st.sampled_from([list, tuple, np.array]))
    if form is np.array and any(not -(2**63) <= number < 2**63 for number in found):
        form = list
    assert (difference(wanted, form(found)) == "") == (wanted == found)
    for one, other in zip(wanted, found, strict=True):
        assert (difference(one, other) == "") == (one == other)


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
@example(2**63, -(2**63))
@example(2**64 - 1, -1)
@example(2**63 - 1, 2**63 - 1)
def test_signed_and_unsigned(unsigned, signed):
    for wanted, found in ((np.uint64(unsigned), np.int64(signed)), (np.int64(signed), np.uint64(unsigned))):
        assert (difference(wanted, found) == "") == (unsigned == signed)
        assert (difference(np.array([wanted]), np.array([found])) == "") == (unsigned == signed)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_within_a_relative_tolerance(wanted, found):
    exact = abs(Fraction(found) - Fraction(wanted)) / max(Fraction(1, 2**1000), abs(Fraction(wanted)))
    if exact > Fraction(2, 10**12):
        assert difference(wanted, found) != ""
    if exact < Fraction(1, 2 * 10**12) and abs(wanted) > 1e-290:
        assert difference(wanted, found) == ""


WORDS = [
    (inf, 5.0, "is 5.0 instead of inf"),
    (inf, -inf, "is -inf instead of inf"),
    (-inf, 1e308, "is 1e+308 instead of -inf"),
    (5.0, inf, "is inf instead of 5.0"),
    (5.0, nan, "is nan instead of 5.0"),
    (nan, 5.0, "is 5.0 instead of nan"),
    (nan, nan, ""), (0.0, -0.0, ""), (1, 1.0, ""), (1.0, 1, ""), (1 + 0j, 1.0, ""), (1, True, ""),
    (complex(1.7e308, 1.7e308), 3.0, "is 3.0 instead of (1.7e+308+1.7e+308j)"),
    (True, 1, "is a number instead of a truth value"),
    ([True, False], [1, 0], "has numbers instead of truth values"),
    (True, np.bool_(True), ""),
    (5, "5", "is a str instead of a number"), ("5", 5, "is 5"), ("a", "b", "is 'b'"), (None, 0, "is 0"), (0, None, "is None instead of a number"),
    (b"a", "a", "is 'a'"), ("a", np.str_("a"), ""), (np.array("a"), "a", ""), ("a", np.array("a"), "is 'a'"),
    (5, [5], "has the shape (1,) instead of ()"), ([5], 5, "has the shape () instead of (1,)"),
    (5.0, np.array(5.0), ""), (np.array(5.0), 5.0, ""), ([1, 2], (1, 2), ""), ((1, 2), np.array([1.0, 2.0]), ""),
    ([], [], ""), ([], np.empty(0), ""), ([], [[]], "has the shape (1, 0) instead of (0,)"),
    (np.empty((0, 3)), [], "has the shape (0,) instead of (0, 3)"),
    ([1, 2], [1, "2"], "item 1 is a str instead of a number"),
    ([1, 2], [[1], [2, 3]], "item 0 has the shape (1,) instead of ()"),
    ([1, 2], [1, 10**30], f"item 1 is {10**30} instead of 2"),
    (np.array([1, 2]), [1, "2"], "is a list instead of an array of shape (2,)"),
    (np.array([1, 2]), ["a"], "is a list instead of an array of shape (2,)"),
    (np.array([1.0]), np.array(["1.0"]), "is an array without numbers of shape (1,) instead of an array of shape (1,)"),
    (10**30, 10**30 + 1, f"is {10**30 + 1} instead of {10**30}"),
    (10**30, 1e30, ""), (10**400, inf, "is inf instead of 1" + "0" * 156 + "..."), (1e30, 10**30, ""),
    ([2**63 + 1, -1], [2**63, -1], f"item 0 is {2**63} instead of {2**63 + 1}"),
    ([2**60 + 1, 0.5], [2**60, 0.5], f"item 0 is {2**60} instead of {2**60 + 1}"),
    ([1, "a", [2, 3]], [1, "a", [2, 4]], "item 2: element 1 is 4 instead of 3 (1 of 2 differs)"),
    ([1, "a"], [1, "a", 2], "has 3 items instead of 2"), ([1, "a"], 5, "is a number instead of a list"),
    ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]}, "'b': element 1 is 3 instead of 2 (1 of 2 differs)"),
    ({"a": 1}, {"a": 1, 2: 3}, """has the keys ["'a'", '2'] instead of ["'a'"]"""), ({"a": 1}, [1], "is a list instead of a dict"),
    (np.zeros((2, 3)), np.zeros((3, 2)), "has the shape (3, 2) instead of (2, 3)"),
    (np.zeros((2, 2)), np.array([[0, 0], [1, 2]]), "element (1, 0) is 1 instead of 0.0 (2 of 4 differ)"),
    (1.0, Odd("Evil"), "is an object of type Evil instead of a number"),
    ([1.0], [Odd("Evil")], "item 0 is an object of type Evil instead of a number"),
    (np.array(["a", "b"]), ["a", "b"], ""), (np.array(["a", "b"]), ["a", "c"], "item 1 is 'c'"),
]


@pytest.mark.parametrize(("expected", "actual", "problem"), WORDS, ids=range(len(WORDS)))
def test_words(expected, actual, problem):
    assert difference(expected, actual) == problem
