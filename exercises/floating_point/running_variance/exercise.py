"""Running variances against exact ones from whole numbers, with the error that Welford's update may have."""

import math
from fractions import Fraction

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

MOST_CHECKED = 300
U = 2.0**-53


def exact_variances(x, at):
    """Variances (as fractions) and means of the first k + 1 numbers, for k in ``at``; in whole numbers of one unit."""
    ratios = [value.as_integer_ratio() for value in x.tolist()]
    shift = max([denominator.bit_length() - 1 for _, denominator in ratios], default=0)
    total = squares = 0
    found, wanted = {}, set(at)
    for k, (numerator, denominator) in enumerate(ratios):
        whole = numerator << (shift - denominator.bit_length() + 1)
        total += whole
        squares += whole * whole
        if k in wanted:
            n = k + 1
            found[k] = Fraction(n * squares - total * total, n * n << 2 * shift), Fraction(total, n << shift)
    return found


def places(n):
    """The places that are compared: all of few numbers, else some at all distances from the beginning."""
    if n <= MOST_CHECKED:
        return list(range(n))
    return sorted({0, 1, 2, n - 1, *np.unique(np.geomspace(1, n, MOST_CHECKED).astype(int) - 1).tolist()})


def first_wrong(x, found):
    """(place, exact variance, allowed error, value found) of the first wrong entry, or None."""
    for k, (variance, mean) in exact_variances(x, places(len(x))).items():
        value = float(found[k])
        allowed = 8 * (k + 1) * U * math.sqrt(float(variance)) * math.sqrt(float(variance + mean**2))
        allowed += ((k + 1) * U * float(abs(mean))) ** 2
        if not math.isfinite(value) or abs(Fraction(value) - variance) > allowed:
            return k, float(variance), allowed, value
    return None


def case(label, x):
    x = np.asarray(x, np.float64)

    def judge(results):
        found = results[0]["return"]
        if isinstance(found, list):
            found = np.array(found)
        if not isinstance(found, np.ndarray) or found.shape != x.shape:
            what = f"an array of shape {found.shape}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
            return f"{what} came back: return an array of shape {x.shape}"
        wrong = first_wrong(x, found)
        if wrong is None:
            return ""
        k, variance, allowed, value = wrong
        return f"entry {k} is {value!r}, but it should be {variance!r}, with an error of {allowed:.2g} at most"

    return Case(f"{label}, n = {len(x)}", ((x,),), judge=judge)


def around(offset, n, seed, scale=1.0):
    rng = np.random.default_rng([n, seed])
    return case(f"around {offset:g}", offset + scale * rng.standard_normal(n))


def outlier(offset, n, seed):
    """The first number is far away from the others."""
    x = np.random.default_rng([n, seed]).standard_normal(n) + offset
    x[0] = 0.0
    return case(f"the first is 0, the others around {offset:g}", x)


def drift(n, seed):
    x = np.cumsum(np.random.default_rng([n, seed]).standard_normal(n)) + 1e7
    return case("drifting", x)


def cases():
    return [
        case("four numbers", [4.0, 7.0, 13.0, 16.0]), case("one number", [3.0]), case("no numbers", []),
        case("four large numbers", 1e9 + np.array([1.1, 2.3, 3.4, 4.5])),
        case("four large numbers", 1e9 + np.array([4.0, 7.0, 13.0, 16.0])), around(0, 50, 1),
        case("all equal", np.full(30, 0.1)),
        case("all equal", np.full(100, 1e9 + 0.1)), around(1e6, 100, 2), around(-1e9, 200, 3), around(1e12, 100, 4),
        outlier(1e8, 300, 5), drift(1000, 6), around(1e-3, 100, 7, scale=1e-9), around(1e7, 200_000, 8),
    ]


def _numbers(failure):
    """The numbers, what came back, and the first wrong place."""
    x = failure.case.arguments[0][0]
    found = np.asarray(failure.actual(0), np.float64)
    k, *_ = first_wrong(x, found)
    return x[: k + 1], float(found[k]), k


def _when(is_so):
    """A slip shown by ``is_so(numbers up to the wrong entry, value found, place)``."""
    return lambda failure: failure.status is Status.INCORRECT and is_so(*_numbers(failure))


def _near(one, other):
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-300)


def _welford(x, product):
    mean = squares = 0.0
    for k, value in enumerate(x):
        before = value - mean
        mean += before / (k + 1)
        squares += product(before, value - mean)
    return squares / len(x)


exercise = Exercise(
    title="A variance on the way",
    function="running_variance",
    points=4,
    cases=cases,
    time_limit_s=5.0,
    hints=(
        "Keep three things: how many numbers there were, their mean, and the sum of their squared distances from that "
        "mean. How do the last two change with a new number?",
        "The mean moves by (value - mean) / k, if the new number is the k-th. The sum of squares grows by (value - "
        "old mean) x (value - new mean): one distance before the mean has moved, one after.",
        "for k, value in enumerate(x.tolist()):\n    before = value - mean\n    mean += before / (k + 1)\n"
        "    squares += before * (value - mean)\n    variances[k] = squares / (k + 1)",
    ),
    slips=(
        Slip(
            "Each variance is computed from all numbers again, so the last one takes 200 000 times as long as the "
            "first. Update mean and squares with each number.",
            lambda f: f.status is Status.TIMED_OUT,
        ),
        Slip(
            "float32 has 7 digits, and the numbers have more. Stay with float64.",
            lambda f: f.status is Status.INCORRECT and ("float32" in f.source or "single" in f.source),
        ),
        Slip(
            "A variance is never negative: two large numbers that are nearly equal have been subtracted, the mean of "
            "the squares and the square of the mean, and only their rounding errors are left. Sum up distances from "
            "the mean.",
            _when(lambda x, value, k: value < 0),
        ),
        Slip(
            "You divide by k, the number of numbers less one. Here the mean of all squared distances is asked for.",
            _when(lambda x, value, k: k > 0 and _near(value, np.var(x, ddof=1))),
        ),
        Slip(
            "This is the standard deviation. The variance is its square.",
            _when(lambda x, value, k: k > 0 and _near(value, np.std(x)) and not _near(np.std(x), np.var(x))),
        ),
        Slip(
            "Both distances are from the old mean. One of them is from the new one: before * (value - mean), after "
            "the mean has moved.",
            _when(lambda x, value, k: _near(value, _welford(x, lambda before, after: before**2))),
        ),
        Slip(
            "Both distances are from the new mean. One of them is from the old one: keep value - mean before the mean "
            "moves.",
            _when(lambda x, value, k: _near(value, _welford(x, lambda before, after: after**2))),
        ),
        Slip(
            "Distances are from the mean of all numbers, also of those that are still to come. Entry k knows the "
            "first k + 1 numbers only.",
            lambda f: _when(lambda x, value, k: _near(value, np.mean((x - f.case.arguments[0][0].mean()) ** 2)))(f),
        ),
        Slip(
            "The digits are lost: the mean of the squares and the square of the mean agree in all digits that a float "
            "has, if the numbers are far from 0. Sum up distances from the mean.",
            _when(lambda x, value, k: np.mean(x) ** 2 > 1e6 * np.var(x)),
        ),
    ),
)
