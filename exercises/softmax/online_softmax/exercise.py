"""Online softmax of one row, with every pass over it counted."""

import warnings

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Budget, Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.softmax.accuracy import exact_softmax

INF, NAN = np.inf, np.nan
RTOL, ATOL = 5e-13, 1e-300
NUM_PASSES = 3


def exact(x):
    """The probabilities of a row; all NaN if there are none."""
    if not np.isfinite(x.max(initial=-INF)):
        return np.full(x.shape, NAN)
    return np.array(exact_softmax(x[None])[0], dtype=np.float64)


def case(label, row):
    """A given row."""
    x = np.array(row, dtype=np.float64)
    return Case(
        label, ((x, np.full(x.shape, -7.0)),), ({1: exact(x), 0: x.copy()},), rtol=RTOL, atol=ATOL,
        budget=Budget(num_passes=NUM_PASSES),
    )


def random_case(num_columns, spread, offset=0.0, data_seed=0):
    """A random row, some logits -inf."""
    rng = np.random.default_rng([num_columns, data_seed])
    x = offset + spread * rng.standard_normal(num_columns)
    x[rng.random(num_columns) < 0.05] = -INF
    x[num_columns // 2] = offset
    return case(f"{num_columns} logits around {offset:g}, spread {spread:g}", x)


def cases():
    return [
        case("2 logits, falling", [1.0, 0.0]), case("3 logits, rising", [0.0, 1.0, 2.0]),
        case("3 logits of both signs", [1.0, 3.0, -2.0]), case("1 logit", [5.0]), case("no logits", []),
        case("logits below -1000", [-1000.0, -1001.0, -1000.5]),
        case("logits above 1000", [1000.0, 1001.0, 1000.5]),
        case("a step up", [0.0, 0.0, 2000.0, 1999.0]), case("a step down", [2000.0, 1999.0, 0.0, 0.0]),
        case("-inf in between", [0.0, -INF, 1.0]), case("-inf first", [-INF, -INF, 1.0, 2.0]),
        case("-inf only", [-INF, -INF]), case("NaN in between", [0.0, NAN, 1.0]), case("NaN first", [NAN, 5.0]),
        case("+inf in between", [0.0, INF, 1.0]), case("+inf first", [INF, -INF, 1.0]),
        case("200 rising by 3", 3.0 * np.arange(200)), case("200 falling by 3", -3.0 * np.arange(200)),
        random_case(100, 1.0), random_case(300, 30.0, 1e4), random_case(500, 2.0, -1e5), random_case(64, 300.0),
    ]


def _gives(variant):
    """Whether ``out`` is what ``variant(x)`` gives, for rows without odd values."""

    def applies(failure):
        x = failure.case.arguments[0][0]
        if not x.size or x[0] == -INF or np.isnan(failure.case.expected[0][1]).any():
            return False  # what is not finite has slips of its own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = np.array(variant(x))
        return failure.status is Status.INCORRECT and not difference(wrong, failure.actual(0, 1), RTOL, ATOL)

    return applies


def _running(x, scale, start=(-INF, 0.0)):
    """Online softmax with another step when a new maximum comes: ``scale(d, old, new)``."""
    m, d = start
    for value in x:
        if value > m:
            d, m = scale(d, m, value) + 1.0, value
        else:
            d += np.exp(value - m)
    return np.exp(x - m) / d


def _of_running_maximum(x):
    """Each exponential below the maximum so far; the sum as it should be."""
    so_far = np.maximum.accumulate(x)
    return np.exp(x - so_far) / np.exp(x - x.max()).sum()


exercise = Exercise(
    title="Softmax in one pass less",
    function="online_softmax",
    points=5,
    points_over_budget=2,
    cases=cases,
    hints=(
        "After each logit, (m, d) shall be the state of all logits so far. If the next one is not larger than m, one"
        " term is added to d. If it is, m changes: what does that do to the terms that are in d already?",
        "Every term of d was exp(x - m); below the new maximum it is exp(x - new) = exp(x - m) * exp(m - new). Begin"
        " with m = -inf and d = 0. A logit of -inf adds nothing: skip it, because -inf - -inf is NaN. The result "
        "takes a second pass, with the last m.",
        "m, d = -np.inf, 0.0\nfor value in x:\n    if value == -np.inf:\n        continue\n"
        "    new = np.maximum(m, value)\n    d = d * np.exp(m - new) + np.exp(value - new)\n    m = new\n"
        "# and then out[i] = np.exp(x[i] - m) / d",
    ),
    slips=(
        Slip(
            "x has changed, or the result is in x: fill out.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0][1], f.actual(0, 1), RTOL, ATOL
            ),
        ),
        Slip(
            "out has not changed: assign to its elements, out[i] = ..., or to out[:]. out = ... only gives a new "
            "meaning to the name.",
            lambda f: f.status is Status.INCORRECT and f.actual(0, 1).size and bool((f.actual(0, 1) == -7.0).all()),
        ),
        Slip(
            "When a larger logit comes, the sum so far stays as it was: its terms were made with the old maximum. "
            "Scale d by exp(old - new).",
            _gives(lambda x: _running(x, lambda d, old, new: d)),
        ),
        Slip(
            "The sum so far is scaled the wrong way round: below a larger maximum all terms become smaller, so the "
            "factor is exp(old - new).",
            _gives(lambda x: _running(x, lambda d, old, new: d * np.exp(new - old) if old > -INF else 0.0)),
        ),
        Slip(
            "When a larger logit comes, the sum begins anew: what was in it still counts, times exp(old - new).",
            _gives(lambda x: _running(x, lambda d, old, new: 0.0)),
        ),
        Slip(
            "The state begins with a maximum of 0: a row of very negative logits never gets below it, and all "
            "exponentials underflow. Begin with the state of nothing, -inf and 0.",
            lambda f: _gives(lambda x: _running(x, lambda d, old, new: d * np.exp(old - new), (0.0, 0.0)))(f)
            or _gives(lambda x: _running(x, lambda d, old, new: d * np.exp(old - new), (0.0, 1.0)))(f),
        ),
        Slip(
            "The exponentials were written while the maximum was still growing: each of them is below another maximum. "
            "Only after the last logit is m known.",
            _gives(_of_running_maximum),
        ),
        Slip(
            "math.exp raises where NumPy's gives inf, and a factor above 1 was calculated: exp(old - new) and exp(x "
            "- m) are 1 at most.",
            lambda f: f.status is Status.CRASHED and "OverflowError" in f.message,
        ),
        Slip(
            "Python's own division raises for 0 / 0. If d is 0, no class was possible, and the whole row is NaN: "
            "divide NumPy's numbers, or fill out with NaN.",
            lambda f: f.status is Status.CRASHED and "ZeroDivisionError" in f.message,
        ),
        Slip(
            "-inf - -inf is NaN: as long as only -inf has come, there is no finite maximum to subtract. Skip logits of "
            "-inf.",
            lambda f: f.status is Status.INCORRECT and f.case.arguments[0][0][0] == -INF
            and np.isnan(f.actual(0, 1)).all(),
        ),
        Slip(
            "With only -inf there is no softmax: NaN. A large number in place of -inf makes all classes equally "
            "likely.",
            lambda f: f.status is Status.INCORRECT and bool((f.case.arguments[0][0] == -INF).all()),
        ),
        Slip(
            "A comparison with NaN is False, whatever is asked, so a NaN slips through; and inf - inf is NaN only if"
            " it is calculated. Let d become NaN in both cases: d + exp(value - new) does it.",
            lambda f: f.status is Status.INCORRECT and not np.isfinite(f.case.arguments[0][0].max(initial=0.0)),
        ),
        Slip(
            "NumPy's functions on the whole row make arrays as long as the row: each is written and read again. Take"
            " the elements one after the other, as compiled code would: for value in x.",
            lambda f: f.status is Status.OVER_BUDGET and "for " not in f.source,
        ),
        Slip(
            "One pass too many. Find the maximum and the sum in the same loop, which reads each element once (keep "
            "it in a variable), and write each result once.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
