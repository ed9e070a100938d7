"""Softmax of rows that overflow by the formula: large logits, far rows, -inf, NaN, short types."""

import warnings

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.softmax.accuracy import exact_softmax

# Beyond rounding each result: the difference x - m is rounded, which costs |x - m| / 2 units at most.
TOLERANCES = {"float16": (1.1e-3, 1.2e-7), "float32": (1e-5, 1e-37), "float64": (2e-13, 1e-300)}


def exact(x):
    """The probabilities, each rounded to the type of x; NaN in rows that have none."""
    found = np.full(x.shape, np.nan)
    has = np.isfinite(x.max(axis=1, initial=-np.inf))
    if x.dtype == np.float64 and x[has].size:
        found[has] = np.array(exact_softmax(x[has]), dtype=np.float64)
    elif x[has].size:  # in float64 there are digits to spare
        e = np.exp(x[has].astype(np.float64) - x[has].max(axis=1, keepdims=True).astype(np.float64))
        found[has] = e / e.sum(axis=1, keepdims=True)
    return found.astype(x.dtype)


def case(label, rows, dtype="float64"):
    """Given rows."""
    x = np.array(rows, dtype)
    x = x if x.ndim == 2 else x.reshape(len(x), 0)
    rtol, atol = TOLERANCES[dtype]
    return Case(f"{label}, {dtype}", ((x,),), ({"return": exact(x), 0: x.copy()},), rtol=rtol, atol=atol)


def random_case(n, num_columns, dtype="float64", *, spread=3.0, offset=0.0, data_seed=0):
    """Rows around different offsets, up to ``offset`` away from 0; some logits -inf."""
    rng = np.random.default_rng([n, num_columns, data_seed])
    x = spread * rng.standard_normal((n, num_columns)) + offset * rng.uniform(-1, 1, (n, 1))
    if num_columns > 3:
        x[rng.random(x.shape) < 0.05] = -np.inf
        x[:, 1] = offset * 0.5
    return case(f"{n} rows of {num_columns} around {-offset:g} to {offset:g}", x, dtype)


def type_case(dtype):
    """The type of the result."""
    x = np.array([[1.0, 2.0], [3.0, 3.0]], dtype)
    wanted, (rtol, atol) = exact(x), TOLERANCES[dtype]

    def judge(results):
        found = results[0]["return"]
        problem = difference(wanted, found, rtol, atol)
        if problem:
            return f"what is returned: {problem}"
        has = getattr(found, "dtype", None)
        return "" if has == x.dtype else f"what is returned has the type {has} instead of {x.dtype}"

    return Case(f"2 x 2, the type of the result for {dtype}", ((x,),), judge=judge)


INF, NAN = np.inf, np.nan


def cases():
    return [
        case("one row", [[0.0, 1.0]]),
        case("two rows", [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]),
        case("large logits", [[1000.0, 1000.0], [-1000.0, -1001.0]]),
        case("rows far from each other", [[10000.0, 10001.0], [0.0, 1.0], [-10000.0, -10001.0]]),
        case("some -inf", [[-INF, 0.0, 1.0], [5.0, -INF, -INF]]),
        case("a row of -inf", [[-INF, -INF], [0.0, 1.0]]),
        case("NaN in a row", [[0.0, NAN, 1.0], [0.0, 1.0, 2.0]]),
        case("+inf in a row", [[0.0, INF, 1.0], [2.0, 1.0, 0.0]]),
        case("one column", [[3.0], [-1e9], [-INF]]),
        case("rows without columns", [[], [], []]),
        Case("no rows, float64", ((np.empty((0, 4)),),), ({"return": np.empty((0, 4))},)),
        case("a steep row", [[-745.0, -700.0, -30.0, 0.0, -1.0]]),
        random_case(7, 30, offset=1e4),
        random_case(4, 300, offset=700.0),
        case("the largest numbers", [[3e38, 3e38, -3e38], [-3e38, -3e38, -3.1e38]], "float32"),
        random_case(20, 50, "float32", offset=1e4),
        random_case(3, 3, "float32", offset=100.0),
        case("the largest numbers", [[60000.0, 60000.0, -60000.0], [-INF, 1.0, 2.0]], "float16"),
        random_case(6, 40, "float16", offset=1000.0),
        case("100000 equal logits", np.zeros((1, 100_000)), "float16"),
        type_case("float32"), type_case("float16"),
    ]


def _wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _divided(e):
    return e / e.sum(axis=1, keepdims=True)


def _gives(variant):
    """Whether the result is what ``variant(x)`` gives."""

    def applies(failure):
        x = failure.case.arguments[0][0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(_wide(x))
        found = failure.actual(0)
        return failure.status is Status.INCORRECT and not difference(wrong, found, *TOLERANCES[x.dtype.name])

    return applies


def _returned(failure):
    return failure.status is Status.INCORRECT and failure.message.startswith("what is returned")


exercise = Exercise(
    title="A softmax that does not overflow",
    function="softmax",
    points=3,
    cases=cases,
    hints=(
        "Multiply numerator and denominator by exp(-c): the probabilities stay, and all logits are smaller by c. exp "
        "overflows for large numbers only; which c makes sure that there are none, and that they are not all small?",
        "c is the largest logit of the row: of each row its own. Then the largest exponential is 1, and the others can "
        "only underflow to 0, which is right. Maximum and sum need keepdims=True to fit the rows; rows without columns "
        "have a maximum if it gets initial=-np.inf.",
        "logits = x.astype(np.float32) if x.dtype == np.float16 else x\n"
        "shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)\n"
        "e = np.exp(shifted)\n"
        "result = e / e.sum(axis=1, keepdims=True), and result.astype(x.dtype)",
    ),
    slips=(
        Slip(
            "x has changed: it belongs to the caller. x - m makes a new array, x -= m does not.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"], f.actual(0), f.case.rtol, f.case.atol
            ),
        ),
        Slip(
            "The values are right, the type is not: return an array of the type of x, with astype(x.dtype) at the end.",
            lambda f: f.status is Status.INCORRECT and "has the type" in f.message,
        ),
        Slip(
            "The columns were normalised, not the rows: a row is one distribution, so maximum and sum go along axis=1.",
            _gives(lambda x: np.exp(x - x.max(axis=0)) / np.exp(x - x.max(axis=0)).sum(axis=0)),
        ),
        Slip(
            "This is the formula as it stands: large logits overflow to inf, and inf / inf is NaN; very negative ones "
            "are all 0, and 0 / 0 is NaN. Subtract the same number from all logits of a row first. Which?",
            _gives(lambda x: _divided(np.exp(x))),
        ),
        Slip(
            "One maximum was subtracted from all rows: in rows far below it all exponentials underflow, and 0 / 0 is "
            "NaN. Each row needs its own maximum, axis=1.",
            _gives(lambda x: _divided(np.exp(x - x.max()))),
        ),
        Slip(
            "The mean is not enough: a logit 800 above it overflows still, and a single -inf makes it -inf. Subtract"
            " the maximum.",
            _gives(lambda x: _divided(np.exp(x - x.mean(axis=1, keepdims=True)))),
        ),
        Slip(
            "The sum of many float16 numbers overflows, and the digits of float16 are few. Calculate in float32: "
            "x.astype(np.float32), and round at the end.",
            lambda f: _returned(f) and f.case.arguments[0][0].dtype == np.float16,
        ),
        Slip(
            "A NaN means that the logits were broken before; nansum, nanmax and nan_to_num hide that. The whole row is "
            "NaN then, and so is a row without any possible class.",
            lambda f: _returned(f) and any(word in f.source for word in ("nan_to_num", "nansum", "nanmax", "isnan")),
        ),
        Slip(
            "A row in which nothing is possible has no softmax: NaN. If you replace -inf by a large negative number, "
            "all its classes become equally likely.",
            lambda f: _returned(f) and (f.case.arguments[0][0] == -np.inf).all(axis=1).any(),
        ),
        Slip(
            "Something was added to the sum, or put into its place. With the maximum subtracted, the sum is at least"
            " 1: there is no division by zero to be afraid of, and the addition makes every probability too small.",
            lambda f: _returned(f) and np.all(f.actual(0) < 1) and np.isfinite(f.actual(0)).all()
            and np.all(f.actual(0).sum(axis=1) < 1 - 2e-13) and np.allclose(f.actual(0), f.case.expected[0]["return"]),
        ),
        Slip(
            "Logits were clipped: two logits beyond the limit become equal, though one may be far more likely than the "
            "other. Subtract the row's maximum instead; nothing is lost by that.",
            lambda f: _returned(f) and any(word in f.source for word in ("clip(", "minimum(", "min(")),
        ),
        Slip(
            "There may be rows without columns: the maximum of nothing needs initial=-np.inf.",
            lambda f: f.status is Status.CRASHED and "zero-size" in f.message,
        ),
        Slip(
            "Maximum and sum have one number a row, shape (n,), and are taken for a row of n columns. keepdims=True "
            "makes them (n, 1).",
            lambda f: (f.status is Status.CRASHED and "broadcast" in f.message)
            or (_returned(f) and "keepdims" not in f.source and "None" not in f.source),
        ),
    ),
)
