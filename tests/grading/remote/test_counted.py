"""Passes through memory: counts by hand for small kernels, and answers that try to pay less."""

import dataclasses

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.grading.exercise import Budget, Case, Exercise, mpi_case
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.remote.counted import CountedArray, Passes

N = 1000
SCALAR = 1 / N  # a float64 that is written, in multiples of the array


def counted(function, *arguments):
    """(What the function returns, passes)."""
    passes = Passes(list(arguments))
    found = function(*passes.arguments)
    return CountedArray.plain(found), passes.number()


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def softmax_in_place(x):
    x -= x.max()
    np.exp(x, out=x)
    x /= x.sum()


def assign_slices(x):
    x[::2] = x[1::2]
    x[: len(x) // 4] = 0.0


def masked(x):
    return x[x > 0]


def blocks(x):
    for start in range(0, len(x), 100):
        x[start : start + 100] += 1


# By hand, in multiples of n elements: r is a read, w a write.
KERNELS = {
    "a sum": (lambda x: x.sum(), 1),  # r
    "a mean by a function": (lambda x: np.mean(x), 1),
    "an add": (lambda x: x + 1, 2),  # r w
    "an add of two": (lambda x: x + x[::-1], 3),  # r r w: a view costs nothing
    "an add in place": (lambda x: x.__iadd__(1), 2),
    "a copy": (lambda x: x.copy(), 2),
    "a new array": (lambda x: np.zeros_like(x), 1),  # w
    "softmax": (softmax, 8),  # max r; x - m: r w; exp: r w; sum r; e / s: r w
    "softmax in place": (softmax_in_place, 8),
    "half a sum": (lambda x: x[: len(x) // 2].sum(), 0.5),
    "assignments to slices": (assign_slices, 0.5 + 0.5 + 0.25),
    "views": (lambda x: x.reshape(10, -1).T[2:5].ravel().shape and x[:0], 0.03 + 0.03),  # ravel copies 3 x 10 elements
    "blocks": (blocks, 2),
    "a scan": (lambda x: np.cumsum(x), 2),
    "a scan by a ufunc": (lambda x: np.add.accumulate(x), 2),
    "a dot product": (lambda x: np.dot(x, x[::-1]), 2),
    "a product with a matrix of one row": (lambda x: x.reshape(1, -1) @ x, 2 + SCALAR),
    "an outer sum of pieces": (lambda x: np.add.outer(x[:20], x[:20]), 0.04 + 0.4),
    "sorting in place": (lambda x: x.sort(), 2),
    "a mask": (masked, 1 + 1 / 8 + 1 / 8 + 0.5 + 0.5),  # x > 0: r, w bools; then r bools, r and w what is selected
    "two elements": (lambda x: x[0] + x[1], 2 * SCALAR),
    "all elements as numbers": (lambda x: sum(x.tolist()), 1),
    "one element after the other": (lambda x: sum(x), 1),
    "out= of a function": (lambda x: np.clip(x, -1, 1, out=x), 2),
    "a stack of two": (lambda x: np.concatenate([x, x]), 1 + 2),  # each given array is read once
    "np.where": (lambda x: np.where(x > 0, x, 0.0), 1 + 1 / 8 + 1 / 8 + 1 + 1),
    "np.add.at": (lambda x: np.add.at(x, np.zeros(0, int), 1.0), 1),  # reads its operands, writes no element
}


@pytest.mark.parametrize("name", KERNELS)
def test_passes_are_those_counted_by_hand(name):
    function, expected = KERNELS[name]
    x = np.linspace(-1, 1, N)
    wanted_x = x.copy()
    wanted = function(wanted_x)
    found, passes = counted(function, x)
    assert passes == pytest.approx(expected, rel=1e-12)
    if wanted is not None:
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(x, wanted_x)


ESCAPES = {
    "asarray": "np.asarray(x)", "array": "np.array(x)", "asanyarray": "np.asanyarray(x)",
    "ascontiguousarray": "np.ascontiguousarray(x)",
    "frombuffer": "np.frombuffer(x)", "memoryview": "memoryview(x)", "interface": "x.__array_interface__",
    "out": "np.exp(x, out=np.empty(len(x)))", "assigning": "np.empty(len(x)).__setitem__(slice(None), x)",
    "view": "np.exp(x).view(np.ndarray)", "base": "x[1:].base", "data": "x.data",
    "pickle": "__import__('pickle').dumps(x)",
    "dlpack": "np.from_dlpack(x)", "a method of the class": "np.ndarray.view(x)",
    "sum of out": "np.sum(x, out=np.empty(()))",
    "a method's out": "x.cumsum(out=np.empty(len(x)))",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_plain_array_is_to_be_had(name):
    with pytest.raises((TypeError, AttributeError, ValueError)):
        counted(lambda x: eval(ESCAPES[name], {"np": np, "x": x}), np.ones(N))


def test_the_largest_array_is_the_measure_and_lists_are_looked_into():
    pair = [np.ones(N), np.ones(N // 2)]
    _, passes = counted(lambda pair, small: [a.sum() for a in pair] + [small.sum()], pair, np.ones(4))
    assert passes == pytest.approx(1.5 + 4 / N)
    assert counted(lambda n: n + 1, 3) == (4, 0.0)


@pytest.fixture
def exercise(tmp_path):
    (tmp_path / "starter.py").write_text("def soft(x):\n    raise NotImplementedError\n")
    x = np.linspace(-3, 3, N)
    e = np.exp(x - x.max())

    def cases():
        return [Case("n = 1000", ((x.copy(),),), ({"return": e / e.sum()},), budget=Budget(num_passes=8))]

    return Exercise("Soft", "soft", 4, cases, ("a", "b", "c"), points_over_budget=1, name="t/soft", folder=tmp_path)


LEAN = "import numpy as np\ndef soft(x):\n    x -= x.max()\n    np.exp(x, out=x)\n    return x / x.sum()\n"
WASTEFUL = LEAN.replace("    return", "    x = x * 1.0\n    return")


def test_the_judge_counts(exercise, zygote):
    lean = judge(exercise, LEAN, zygote=zygote)
    assert lean.passed and lean.points == 4 and "8.0 of at most 8 passes" in lean.cost, lean.text()
    wasteful = judge(exercise, WASTEFUL, zygote=zygote)
    assert wasteful.status is Status.OVER_BUDGET and wasteful.points == 1, wasteful.text()
    assert "read and wrote 10.0 times the array, 8 is enough" in wasteful.message
    copies = judge(exercise, LEAN.replace("    x -=", "    x = np.asarray(x)\n    x -="), zygote=zygote)
    assert copies.status is Status.CRASHED and "counts passes" in copies.message and copies.points == 0
    wrong = judge(exercise, WASTEFUL.replace("1.0", "2.0").replace("x / x.sum()", "x"), zygote=zygote)
    assert wrong.status is Status.INCORRECT and wrong.points == 0


def test_without_a_budget_arrays_are_plain(exercise, zygote):
    free = dataclasses.replace(exercise, cases=lambda: [dataclasses.replace(exercise.cases()[0], budget=None)])
    assert judge(free, LEAN.replace("    x -=", "    x = np.asarray(x)\n    x -="), zygote=zygote).passed


def test_passes_are_for_functions_without_a_communicator():
    with pytest.raises(UsageError, match="num_ranks=2"):
        mpi_case(2, "two", lambda rank: (np.ones(3),), budget=Budget(num_passes=3))
