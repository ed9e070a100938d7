"""Log-softmax where softmax underflows, and where an addition to a large logit loses the digits."""

import warnings

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.softmax.accuracy import exact_softmax

TOLERANCES = {"float16": (1.1e-3, 1e-6), "float32": (1e-6, 4e-6), "float64": (1e-14, 2e-14)}


def exact(x):
    """The logarithms, each rounded to the type of x; NaN in rows that have none."""
    found = np.full(x.shape, np.nan)
    has = np.isfinite(x.max(axis=1, initial=-np.inf))
    if x.dtype == np.float64 and x[has].size:
        found[has] = np.array(exact_softmax(x[has], log=True), dtype=np.float64)
    elif x[has].size:  # in float64 there are digits to spare
        shifted = x[has].astype(np.float64) - x[has].max(axis=1, keepdims=True).astype(np.float64)
        found[has] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):  # -120000 is no float16
        return found.astype(x.dtype)


def case(label, rows, dtype="float64"):
    """Given rows."""
    x = np.array(rows, dtype)
    rtol, atol = TOLERANCES[dtype]
    return Case(f"{label}, {dtype}", ((x,),), ({"return": exact(x), 0: x.copy()},), rtol=rtol, atol=atol)


def random_case(n, num_columns, dtype="float64", *, spread=3.0, offset=0.0, data_seed=0):
    """Rows around different offsets, up to ``offset`` away from 0; some logits -inf."""
    rng = np.random.default_rng([n, num_columns, data_seed])
    x = spread * rng.standard_normal((n, num_columns)) + offset * rng.uniform(-1, 1, (n, 1))
    if num_columns > 3:
        x[rng.random(x.shape) < 0.05] = -np.inf
        x[:, 1] = offset * rng.uniform(-1, 1, n)
    return case(f"{n} rows of {num_columns} around {-offset:g} to {offset:g}", x, dtype)


INF, NAN = np.inf, np.nan


def cases():
    return [
        case("one row", [[0.0, 1.0]]),
        case("two rows", [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]),
        case("an unlikely class", [[0.0, 2000.0]]),
        case("large logits", [[1000.0, 1000.0], [-1000.0, -1001.0]]),
        case("large logits that differ by 1", [[1e6, 1e6 + 1], [1e9, 1e9 + 1]]),
        case("rows far from each other", [[10000.0, 10001.0], [0.0, 1.0], [-10000.0, -10001.0]]),
        case("some -inf", [[-INF, 0.0, 1.0], [5.0, -INF, -INF]]),
        case("rows without a softmax", [[-INF, -INF], [0.0, NAN], [0.0, INF], [0.0, 1.0]]),
        case("one column", [[3.0], [-1e9], [-INF]]),
        Case("no rows, float64", ((np.empty((0, 4)),),), ({"return": np.empty((0, 4))},)),
        random_case(7, 30, offset=1e4), random_case(4, 300, offset=700.0), random_case(5, 5, offset=1e7, spread=0.5),
        random_case(20, 50, "float32", offset=1e4), random_case(3, 3, "float32", offset=100.0),
        case("the largest numbers", [[3e38, 3e38, -1e38], [-3e38, -3e38, -3.1e38]], "float32"),
        case("large and small ones", [[60000.0, 60000.0, 59990.0], [-INF, 1.0, 2.0]], "float16"),
        random_case(6, 40, "float16", offset=1000.0), case("70000 equal logits", np.full((1, 70_000), 11.0), "float16"),
    ]


def _wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _log_sum(x):
    return np.log(np.exp(x).sum(axis=1, keepdims=True))


def _to_base(x, base):
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - _log_sum(shifted) / np.log(base)


def _added_back(x):
    m = x.max(axis=1, keepdims=True)
    return x - (m + _log_sum(x - m))


def _gives(variant):
    """Whether the result is what ``variant(x)`` gives."""

    def applies(failure):
        x = failure.case.arguments[0][0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(_wide(x))
        return failure.status is Status.INCORRECT and not difference(
            wrong, failure.actual(0), *TOLERANCES[x.dtype.name]
        )

    return applies


def _bounded_below(failure):
    """Numbers where the logarithms are far lower."""
    far = failure.case.expected[0]["return"] < -700
    return failure.status is Status.INCORRECT and far.any() and bool(np.all(failure.actual(0)[far] > -750))


exercise = Exercise(
    title="Logarithms of probabilities",
    function="log_softmax",
    points=3,
    cases=cases,
    hints=(
        "log(exp(a) / s) is a - log(s): no division, and no logarithm of a tiny number. Which shift makes the sum s "
        "harmless, and what becomes of a then?",
        "With the row's maximum m subtracted first, a is x - m, and s is between 1 and C. Then log(s) is a small "
        "number: subtract it from x - m, which may be small, too, and not from x, which may be large.",
        "shifted = logits - logits.max(axis=1, keepdims=True)\n"
        "result = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), and result.astype(x.dtype)",
    ),
    slips=(
        Slip(
            "x has changed: it belongs to the caller. x - m makes a new array, x -= m does not.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"], f.actual(0), f.case.rtol, f.case.atol
            ),
        ),
        Slip(
            "This is the logarithm of a softmax: where the probability underflows to 0 it is -inf. Take the "
            "logarithm on paper first: log(exp(a) / s) = a - log(s).",
            _gives(lambda x: np.log(_softmax(x))),
        ),
        Slip(
            "Something was added to the probability to avoid log(0). Then unlikely classes all get the same logarithm. "
            "log(exp(a) / s) = a - log(s) needs no probability at all.",
            _bounded_below,
        ),
        Slip(
            "exp of a large logit overflows in the sum: subtract the row's maximum before exp.",
            _gives(lambda x: x - _log_sum(x)),
        ),
        Slip(
            "The maximum is subtracted inside the sum only: the logits themselves need it, too, or they are too "
            "large by m.",
            _gives(lambda x: x - _log_sum(x - x.max(axis=1, keepdims=True))),
        ),
        Slip(
            "The digits are lost where m and log(s) are added: beside 1e6, a number like 0.3133 keeps few of them. "
            "Subtract one after the other: first m from x, which is exact for neighbours, then log(s).",
            _gives(_added_back),
        ),
        Slip(
            "This is a logarithm to another base. np.log is the natural one, which belongs to exp.",
            lambda f: any(_gives(lambda x, base=base: _to_base(x, base))(f) for base in (2, 10)),
        ),
        Slip(
            "One maximum was subtracted from all rows: in rows far below it all exponentials underflow, and log(0) is "
            "-inf. Each row needs its own maximum, axis=1.",
            _gives(lambda x: x - x.max() - _log_sum(x - x.max())),
        ),
        Slip(
            "float16 has 11 bits: calculate in float32, and round at the end.",
            lambda f: f.status is Status.INCORRECT and f.case.arguments[0][0].dtype == np.float16,
        ),
        Slip(
            "A NaN means that the row has no softmax: do not hide it.",
            lambda f: f.status is Status.INCORRECT and any(
                word in f.source for word in ("nan_to_num", "nansum", "nanmax", "isnan", "isfinite", "isinf")
            ),
        ),
        Slip(
            "Maximum and sum have one number a row, shape (n,). keepdims=True makes them (n, 1), which fits the rows.",
            lambda f: (f.status is Status.CRASHED and "broadcast" in f.message)
            or (f.status is Status.INCORRECT and "keepdims" not in f.source and "None" not in f.source),
        ),
    ),
)
