"""Pairwise sums by their bits, for every small n; passes through memory counted for large ones."""

import ast

import numpy as np

from labkit.grading.exercise import Budget, Case, Exercise, Slip
from labkit.grading.outcomes import Status


def neighbours(x, odd=lambda sums, last: [*sums, last]):
    """The sum by levels, number by number; ``odd(sums, last)`` says what becomes of an odd one."""
    terms = list(x)
    while len(terms) > 1:
        sums = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = odd(sums, terms[-1]) if len(terms) % 2 else sums
    return terms[0] if terms else x.dtype.type(0)


def plain(x):
    total = x.dtype.type(0)
    for term in x:
        total = total + term
    return total


def halves(x):
    """Each half by itself: the same for powers of two."""
    n = len(x)
    return x[0] if n == 1 else halves(x[: n // 2]) + halves(x[n // 2 :]) if n else x.dtype.type(0)


def folded(x):
    """The second half onto the first."""
    terms = x.copy()
    while len(terms) > 1:
        h = len(terms) // 2
        terms = np.append(terms[:h] + terms[h : 2 * h], terms[2 * h :])
    return terms[0] if len(terms) else x.dtype.type(0)


def case(n, *, seed=0, dtype=np.float64, counted=False):
    rng = np.random.default_rng([n, seed])
    x = (rng.standard_normal(n) * 2.0 ** rng.integers(-12, 12, n)).astype(dtype)
    words = f"{n} term{'s' * (n != 1)}, {np.dtype(dtype)}" + (", passes counted" if counted else "")
    budget = Budget(num_passes=3.1) if counted else None
    return Case(words, ((x,),), ({"return": neighbours(x), 0: x.copy()},), rtol=0.0, budget=budget)


def cases():
    return [
        case(0), case(1), case(2), case(8), case(3), case(4, seed=1), case(5), case(6), case(7), case(9), case(16),
        case(100),
        case(1000), case(7, dtype=np.float32), case(333, dtype=np.float32), case(4096, counted=True),
        case(4095, counted=True),
        case(5001, counted=True), case(2000, dtype=np.float32, counted=True),
    ]


def _gives(*ways):
    def applies(failure):
        x = failure.case.arguments[0][0]
        return failure.status is Status.INCORRECT and any(float(failure.actual(0)) == float(way(x)) for way in ways)

    return applies


def _named(source):
    """Names of the functions and methods that are called."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in calls}


def _has_changed_x(failure):
    x = failure.case.arguments[0][0]
    return failure.status is Status.INCORRECT and not np.array_equal(failure.actual(0, 0), x)


exercise = Exercise(
    title="Neighbours first",
    function="pairwise_sum",
    points=4,
    points_over_budget=2,
    cases=cases,
    hints=(
        "x[0::2] are the terms 0, 2, 4, ..., and x[1::2] the terms 1, 3, 5, ...: one addition of arrays makes a level.",
        "With an odd number the two slices differ in length by one. Take the last one aside before you add: it is the "
        "last term of the next level. If that has an odd number without it, the two of them are a pair.",
        "while len(x) > 1:\n    if len(x) % 2 == 1:\n        last = x[-1] if last is None else x[-1] + last\n"
        "        x = x[:-1]\n    x = x[0::2] + x[1::2]\n"
        "# at the end x[0], and last if there is one; 0 is x.dtype.type(0)",
    ),
    slips=(
        Slip(
            "x has changed, but it belongs to the caller: x[0::2] is a view of it, and += writes into it. Let the "
            "addition make a new array.",
            _has_changed_x,
        ),
        Slip(
            "np.sum adds in an order of its own: blocks of 128 terms in eight running sums, then pairs. Write the "
            "levels.",
            lambda f: f.status is Status.INCORRECT and bool(_named(f.source) & {"sum", "reduce", "fsum"}),
        ),
        Slip(
            "float32 terms have been added in float64. Stay in the type of x.",
            lambda f: f.case.arguments[0][0].dtype == np.float32 and _gives(
                lambda x: neighbours(x.astype(np.float64)))(f),
        ),
        Slip("This is the plain sum, from left to right: add neighbours first.", _gives(plain)),
        Slip(
            "An odd number of terms: the last one is lost. It goes on to the next level as it is.",
            _gives(lambda x: neighbours(x, lambda sums, last: sums)),
        ),
        Slip(
            "The odd one is added to the last pair at once. It goes on to the next level as it is, and meets a sum of "
            "equal weight there, if it can.",
            _gives(lambda x: neighbours(x, lambda sums, last: [*sums[:-1], sums[-1] + last])),
        ),
        Slip(
            "You add halves, not neighbours: term i and term i + n/2 (or the sums of both halves). For this n, that is "
            "another tree, with other bits.",
            _gives(halves, folded),
        ),
        Slip(
            "Where the number is odd, the level is copied to make room for one term (append, concatenate, pad). Keep "
            "the odd one in a variable instead.",
            lambda f: f.status is Status.OVER_BUDGET and bool(
                _named(f.source) & {"append", "concatenate", "pad", "hstack", "zeros", "empty_like", "resize"}),
        ),
        Slip(
            "Copies cost passes: a slice is a view and costs nothing, astype and copy() go through the whole array.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
