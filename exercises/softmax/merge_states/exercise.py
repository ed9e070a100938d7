"""The merge operator of online softmax, against exact arithmetic."""

import warnings

import mpmath
import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

INF, NAN = np.inf, np.nan
RTOL = 3e-13  # m1 - m is rounded: half a unit of a number up to 745


def exact(first, second):
    """(m, d) of one pair, with 50 digits."""
    (m1, d1), (m2, d2) = first, second
    m = NAN if np.isnan(m1) or np.isnan(m2) else max(m1, m2)
    if any(np.isnan(value) for value in (m, d1, d2)) or m == INF:
        return m, NAN
    if m == -INF:
        return m, 0.0
    with mpmath.workdps(50):
        parts = [(mi, di) for mi, di in (first, second) if mi > -INF]
        return m, float(mpmath.fsum(mpmath.mpf(di) * mpmath.exp(mpmath.mpf(mi) - mpmath.mpf(m)) for mi, di in parts))


def case(label, pairs):
    """Given pairs ``(m1, d1, m2, d2)``."""
    table = np.array(pairs, dtype=np.float64).reshape(-1, 4)
    found = [exact(pair[:2], pair[2:]) for pair in table.tolist()]
    m, d = (np.array([state[k] for state in found], dtype=np.float64) for k in (0, 1))
    arguments = tuple(np.ascontiguousarray(column) for column in table.T)
    expected = {"return": (m, d)} | {k: column.copy() for k, column in enumerate(arguments)}
    return Case(label, (arguments,), (expected,), rtol=RTOL)


def random_case(k, spread, data_seed=0):
    """States of parts of 1 to 100 logits, ``spread`` apart; some of nothing."""
    rng = np.random.default_rng([k, data_seed])
    table = np.empty((k, 4))
    table[:, ::2] = spread * rng.standard_normal((k, 2))
    table[:, 1::2] = rng.uniform(1, 100, (k, 2))
    for column in (0, 2):
        nothing = rng.random(k) < 0.1
        table[nothing, column], table[nothing, column + 1] = -INF, 0.0
    return case(f"{k} pairs, maxima about {spread:g} apart", table)


def cases():
    return [
        case("the larger maximum second, then first", [(0.0, 2.0, np.log(4.0), 1.0), (3.0, 1.5, 1.0, 2.0)]),
        case("equal maxima", [(1.0, 1.0, 1.0, 2.5)]),
        case("three pairs", [(0.0, 1.0, 1.0, 1.0), (5.0, 2.0, -5.0, 1.0), (2.0, 4.0, 3.0, 1.0)]),
        case("maxima far from each other", [(1e4, 1.0, -1e4, 3.0), (-1e4, 2.0, 1e4, 1.0), (0.0, 1.0, 740.0, 1.0)]),
        case("large maxima", [(1e300, 1.0, 1e300, 1.0), (1000.0, 1.0, 1001.0, 1.0), (-1e300, 1.0, 1e300, 2.0)]),
        case("nothing on the right", [(5.0, 2.0, -INF, 0.0)]),
        case("nothing on the left", [(-INF, 0.0, -5.0, 2.0)]),
        case("nothing and nothing", [(-INF, 0.0, -INF, 0.0)]),
        case("no pairs", []),
        random_case(50, 1.0), random_case(200, 30.0), random_case(100, 1e4),
        case("NaN", [(NAN, NAN, 0.0, 1.0), (0.0, 1.0, NAN, NAN), (2.0, NAN, 5.0, 1.0), (0.0, 1.0, 2.0, 3.0)]),
        case("+inf", [(INF, NAN, 0.0, 1.0), (0.0, 1.0, INF, NAN), (INF, 1.0, INF, 1.0), (INF, NAN, -INF, 0.0)]),
    ]


def _gives(variant):
    """Whether the result is what ``variant(m1, d1, m2, d2)`` gives."""

    def applies(failure):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(*failure.case.arguments[0])
        return failure.status is Status.INCORRECT and not difference(wrong, failure.actual(0), RTOL)

    return applies


def _merged(m1, d1, m2, d2):
    """Without regard to states of nothing."""
    m = np.maximum(m1, m2)
    return m, d1 * np.exp(m1 - m) + d2 * np.exp(m2 - m)


def _of_logarithms(m1, d1, m2, d2):
    total = np.exp(m1) * d1 + np.exp(m2) * d2
    m = np.maximum(m1, m2)
    return m, total / np.exp(m)


def _has_nothing(failure):
    m1, _, m2, _ = failure.case.arguments[0]
    return bool(np.any((m1 == -INF) | (m2 == -INF)))


exercise = Exercise(
    title="States that merge",
    function="merge_states",
    points=3,
    cases=cases,
    hints=(
        "The maximum of both parts is easy. d1 was made with m1 subtracted; now m is subtracted. By which factor does "
        "every term of d1 change?",
        "exp(x - m) = exp(x - m1) * exp(m1 - m): d1 counts exp(m1 - m) times, which is 1 at most, and likewise d2. "
        "Where a part is empty, -inf - -inf is NaN; its contribution is 0 then.",
        "m = np.maximum(m1, m2)\n"
        "d = scaled(d1, m1, m) + scaled(d2, m2, m)\n"
        "with scaled(d, m, new) = np.where((m == -np.inf) & (d == 0), 0.0, d * np.exp(m - new))",
    ),
    slips=(
        Slip(
            "An argument has changed: work on new arrays. The caller may need the states of the parts again.",
            lambda f: f.status is Status.INCORRECT and not difference(f.case.expected[0]["return"], f.actual(0), RTOL),
        ),
        Slip(
            "-inf - -inf is NaN: where both parts are empty, nothing is left to scale. Give an empty part the "
            "contribution 0.",
            lambda f: _has_nothing(f) and _gives(_merged)(f),
        ),
        Slip(
            "The sums are added as they are. d1 counts exponentials below m1: below another maximum each of them is "
            "smaller, by the factor exp(m1 - m).",
            _gives(lambda m1, d1, m2, d2: (np.maximum(m1, m2), d1 + d2)),
        ),
        Slip(
            "Only the second sum is scaled. If its maximum is the larger one, it is the first that has to shrink: "
            "scale both, and let one factor be exp(0).",
            _gives(lambda m1, d1, m2, d2: (np.maximum(m1, m2), d1 + d2 * np.exp(m2 - np.maximum(m1, m2)))),
        ),
        Slip(
            "Only the first sum is scaled. If its maximum is the larger one, it is the second that has to shrink: "
            "scale both, and let one factor be exp(0).",
            _gives(lambda m1, d1, m2, d2: (np.maximum(m1, m2), d1 * np.exp(m1 - np.maximum(m1, m2)) + d2)),
        ),
        Slip(
            "The factor is turned round: exp(m - m1) is 1 or more, and overflows. Terms become smaller when a larger "
            "maximum is subtracted: exp(m1 - m).",
            _gives(lambda m1, d1, m2, d2: (
                np.maximum(m1, m2), d1 * np.exp(np.maximum(m1, m2) - m1) + d2 * np.exp(np.maximum(m1, m2) - m2)
            )),
        ),
        Slip(
            "exp of a maximum overflows: with m = 1000 the sum was kept finite by never calculating exp(m). Use "
            "differences of maxima only.",
            _gives(_of_logarithms),
        ),
        Slip(
            "A NaN was hidden. Only a part without logits, (-inf, 0), contributes nothing; NaN in a state stays, or "
            "nobody would notice that the logits were broken.",
            lambda f: f.status is Status.INCORRECT and (
                any(np.isnan(value).any() for value in f.case.arguments[0]) or "inf" in f.case.label
            ),
        ),
        Slip(
            "The state of nothing is (-inf, 0). A large negative number in place of -inf is a maximum like another: it "
            "comes out as m.",
            lambda f: f.status is Status.INCORRECT and _has_nothing(f) and not np.array_equal(
                f.actual(0)[0], f.case.expected[0]["return"][0], equal_nan=True
            ),
        ),
        Slip(
            "k pairs are merged at once: the arguments are arrays, and an if asks for one truth value. np.maximum and "
            "np.where work element by element.",
            lambda f: f.status is Status.CRASHED and "truth value" in f.message,
        ),
        Slip(
            "Return m and d, in this order.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"][::-1], tuple(f.actual(0)), RTOL
            ),
        ),
    ),
)
