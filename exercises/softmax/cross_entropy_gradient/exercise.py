"""The gradient of cross-entropy with label smoothing, by the logits."""

import warnings

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.softmax.accuracy import exact_softmax

INF, NAN = np.inf, np.nan
TOLERANCES = {"float32": (1e-5, 1e-6), "float64": (2e-13, 1e-15)}  # p - 1 loses what is small beside 1


def probabilities(x):
    """With more digits than x has; NaN in rows that have none."""
    found = np.full(x.shape, np.nan)
    has = np.isfinite(x.max(axis=1, initial=-INF))
    if x[has].size:
        found[has] = np.array(exact_softmax(x[has].astype(np.float64)), dtype=np.float64)
    return found


def target_matrix(x, targets, smoothing):
    """The targets of all classes."""
    t = np.full(x.shape, smoothing / x.shape[1])
    t[np.arange(len(x)), targets] += 1 - smoothing
    return t


def case(label, rows, targets, smoothing=0.0, dtype="float64"):
    """Given rows."""
    x, targets = np.array(rows, dtype), np.array(targets, np.int64)
    gradient = (probabilities(x) - target_matrix(x, targets, smoothing)) / max(len(x), 1)
    rtol, atol = TOLERANCES[dtype]
    return Case(
        f"{label}, s = {smoothing:g}, {dtype}", ((x, targets, smoothing),),
        ({"return": gradient, 0: x.copy(), 1: targets.copy()},), rtol=rtol, atol=atol / max(len(x), 1),
    )


def random_case(n, num_columns, smoothing=0.0, dtype="float64", *, offset=0.0, data_seed=0):
    """Rows around different offsets, some logits -inf, the targets anywhere."""
    rng = np.random.default_rng([n, num_columns, data_seed])
    x = 3.0 * rng.standard_normal((n, num_columns)) + offset * rng.uniform(-1, 1, (n, 1))
    if num_columns > 3:
        x[rng.random(x.shape) < 0.05] = -INF
        x[:, 1] = offset * 0.5
    label = f"{n} rows of {num_columns}" + (f" around {-offset:g} to {offset:g}" if offset else "")
    return case(label, x, rng.integers(0, num_columns, n), smoothing, dtype)


def cases():
    logs = np.log([[1.0, 2.0, 1.0]])
    return [
        case("the example", logs, [1]),
        case("one row", logs, [1], 0.3),
        case("two rows", [[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], [2, 1]),
        case("two rows", [[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], [0, 0], 0.1),
        case("three rows, two classes", [[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]], [1, 1, 0]),
        case("two rows", [[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], [2, 2], 1.0),
        case("large logits", [[1000.0, 1001.0], [-1000.0, -1001.0]], [0, 1]),
        case("a class that is impossible", [[-INF, 0.0, 1.0], [-INF, 0.0, 1.0]], [0, 1], 0.2),
        case("rows without a softmax", [[-INF, -INF], [0.0, NAN], [0.0, INF], [0.0, 1.0]], [0, 1, 1, 0]),
        case("one class", [[3.0], [-7e4]], [0, 0], 0.1),
        case("no rows", np.empty((0, 4)), []),
        random_case(4, 4), random_case(10, 30, 0.1, offset=1e4), random_case(50, 7, 0.05), random_case(3, 300, 0.2),
        random_case(20, 50, 0.1, "float32", offset=1e4), random_case(8, 1000, 0.0, "float32"),
    ]


def _softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _gives(variant):
    """Whether the result is what ``variant(x, targets, smoothing)`` gives."""

    def applies(failure):
        x, targets, smoothing = failure.case.arguments[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(x.astype(np.float64), targets, smoothing)
        return failure.status is Status.INCORRECT and not difference(
            wrong, failure.actual(0), failure.case.rtol, max(failure.case.atol, 1e-14)
        )

    return applies


def _p_minus(targets_of, scale=None):
    """Another matrix of targets, or another factor than 1 / n."""

    def variant(x, targets, smoothing):
        factor = 1 / len(x) if scale is None else scale(x)
        return (_softmax(x) - targets_of(x, targets, smoothing)) * factor

    return variant


def _others_only(x, targets, smoothing):
    t = np.full(x.shape, smoothing / max(x.shape[1] - 1, 1))
    t[np.arange(len(x)), targets] = 1 - smoothing
    return t


def _target_without_share(x, targets, smoothing):
    t = np.full(x.shape, smoothing / x.shape[1])
    t[np.arange(len(x)), targets] = 1 - smoothing
    return t


def _one_and_share(x, targets, smoothing):
    return target_matrix(x, targets, 0.0) + smoothing / x.shape[1]


def _all_targets_in_all_rows(x, targets, smoothing):
    t = np.full(x.shape, smoothing / x.shape[1])
    t[:, targets] += 1 - smoothing
    return t


def _naive(x, targets, smoothing):
    e = np.exp(x)
    return (e / e.sum(axis=1, keepdims=True) - target_matrix(x, targets, smoothing)) / len(x)


exercise = Exercise(
    title="The gradient of cross-entropy",
    function="cross_entropy_gradient",
    points=4,
    cases=cases,
    hints=(
        "Write the loss of a row as log(sum(exp(x))) - sum(t * x); the targets t add up to 1. The derivative of the "
        "first term by a logit is something that you know.",
        "The derivative of log(sum(exp(x))) is the softmax p. So the gradient of a row is p - t, and that of the "
        "mean is a n-th of it. t is s / C everywhere, and 1 - s more at the target.",
        "p = softmax of the rows, with the maximum subtracted\n"
        "p[np.arange(len(x)), targets] -= 1 - label_smoothing\n"
        "p -= label_smoothing / C\n"
        "return p / max(n, 1)   # there may be no rows",
    ),
    slips=(
        Slip(
            "An argument has changed: work on a new array.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"], f.actual(0), f.case.rtol, f.case.atol
            ),
        ),
        Slip(
            "The sign is turned round: the gradient points to where the loss grows, so it is negative at the target.",
            _gives(lambda x, t, s: -_p_minus(target_matrix)(x, t, s)),
        ),
        Slip(
            "This is the gradient of the sum of the losses. L is their mean: divide by n.",
            _gives(_p_minus(target_matrix, lambda x: 1.0)),
        ),
        Slip(
            "Divide by the number of rows only: the loss is a mean over rows, and a sum over classes.",
            _gives(_p_minus(target_matrix, lambda x: 1 / x.size)),
        ),
        Slip("label_smoothing is not used.", _gives(_p_minus(lambda x, t, s: target_matrix(x, t, 0.0)))),
        Slip(
            "The smoothed part is spread over all C classes, the right one among them: s / C each, not s / (C - 1) "
            "for the others.",
            _gives(_p_minus(_others_only)),
        ),
        Slip(
            "The right class gets its share s / C, too, besides 1 - s: the targets of a row add up to 1.",
            _gives(_p_minus(_target_without_share)),
        ),
        Slip(
            "The right class gets 1 - s and its share: with 1 and the share the targets of a row add up to more than"
            " 1.",
            _gives(_p_minus(_one_and_share)),
        ),
        Slip(
            "[:, targets] changes the targets of all rows in every row. One element of each row is meant: "
            "[np.arange(n), targets].",
            _gives(_p_minus(_all_targets_in_all_rows)),
        ),
        Slip(
            "Only the right class has a gradient here. A larger logit of any other class makes the loss larger, too:"
            " the gradient is p - t for all of them, also where t is 0.",
            _gives(lambda x, t, s: np.where(target_matrix(x, t, 0.0) > 0, _softmax(x) - 1, 0.0) / len(x)),
        ),
        Slip(
            "This is the gradient by the probabilities, -t / p. By the logits, softmax has to be differentiated as "
            "well: everything cancels to p - t.",
            _gives(lambda x, t, s: -target_matrix(x, t, s) / _softmax(x) / len(x)),
        ),
        Slip(
            "exp overflows, or underflows in all columns: subtract the row's maximum first.",
            _gives(_naive),
        ),
        Slip(
            "A difference of two losses has half of the digits at best. The gradient has a short formula.",
            lambda f: f.status is Status.INCORRECT
            and np.allclose(f.actual(0), f.case.expected[0]["return"], rtol=0.01, atol=0.01),
        ),
        Slip(
            "There may be no rows: do not divide by 0.",
            lambda f: f.status is Status.CRASHED and "ZeroDivisionError" in f.message,
        ),
    ),
)
