"""Attention in blocks of keys: exact values, no room for the matrix, every pass over K and V counted."""

import warnings

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Budget, Case, Exercise, Slip
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-9, 1e-10  # logits of thousands have an absolute error of 1e-12, which is one of probabilities
NUM_PASSES = 4


def logits_of(q, k):
    """Of all queries and keys."""
    return q.astype(np.longdouble) @ k.astype(np.longdouble).T / np.sqrt(np.longdouble(q.shape[1]))


def exact(q, k, v):
    """With the matrix; where long doubles have more digits than doubles, with more digits."""
    x = logits_of(q, k)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e @ v.astype(np.longdouble) / e.sum(axis=1, keepdims=True)).astype(np.float64)


def case(label, q, k, v, num_passes=None):
    """Given arrays."""
    q, k, v = (np.array(array, dtype=np.float64) for array in (q, k, v))
    budget = None if num_passes is None else Budget(num_passes=num_passes)
    return Case(
        label, ((q, k, v),), ({"return": exact(q, k, v), 0: q.copy(), 1: k.copy(), 2: v.copy()},), rtol=RTOL, atol=ATOL,
        budget=budget,
    )


def random_case(n, num_keys, width, *, size=1.0, order="", num_passes=None, data_seed=0):
    """Random arrays; logits are about ``size``. ``order``: along the keys they rise or fall."""
    rng = np.random.default_rng([n, num_keys, width, data_seed])
    q, k = rng.standard_normal((n, width)), rng.standard_normal((num_keys, width))
    v = rng.uniform(-1, 1, (num_keys, width))
    k *= size
    if order:
        q[:, 0] = np.sqrt(width)
        k[:, 0] = np.linspace(0, 20 * size, num_keys) * (1 if order == "rising" else -1)
    words = f"{n} quer{'y' if n == 1 else 'ies'}, {num_keys} key{'s' * (num_keys != 1)}, a = w = {width}"
    words += f", logits of about {size:g}" * (size != 1) + f", {order}" * bool(order)
    return case(words + ", passes counted" * (num_passes is not None), q, k, v, num_passes)


def large_case(n, num_keys, data_seed=0):
    """No room for the matrix. What is right is known: each query finds one key, or two of them."""
    rng = np.random.default_rng([n, num_keys, data_seed])
    angles = 2 * np.pi * np.arange(num_keys) / num_keys  # keys on a circle: k . k' = cos(difference)
    k = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    v = rng.uniform(-1, 1, (num_keys, 2))
    chosen = rng.integers(0, num_keys, n)
    sharpness = 4.0 * num_keys**2  # the next key is 79 lower, in the exponent by 79 / sqrt(2)
    return Case(
        f"{n} queries, {num_keys} keys: a matrix of {8 * n * num_keys / 1e6:.0f} MB",
        ((sharpness * k[chosen], k, v),), ({"return": v[chosen]},), rtol=1e-6, atol=1e-9,
    )


def cases():
    return [
        case("the example", [[1.0]], [[0.0], [np.log(3.0)]], [[4.0], [8.0]]),
        case("one query, two keys, a = w = 2", [[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]),
        case("two queries, one key", [[1.0], [-1.0]], [[5.0]], [[2.0, 3.0]]),
        random_case(3, 5, 2), random_case(2, 300, 4), random_case(4, 700, 3, order="rising"),
        random_case(4, 700, 3, order="falling"), random_case(3, 100, 8, size=1000.0),
        random_case(5, 2000, 4, size=300.0, order="rising"), random_case(7, 1025, 5, size=40.0),
        case("w is not a", np.eye(3), np.eye(3)[:2], [[1.0], [2.0]]),
        random_case(8, 2048, 64, num_passes=NUM_PASSES),
        random_case(8, 3001, 64, size=100.0, order="rising", num_passes=NUM_PASSES),
        large_case(1500, 24_000),
    ]


def _gives(variant):
    """Whether the result is what ``variant(logits, v)`` gives."""

    def applies(failure):
        q, k, v = failure.case.arguments[0]
        if len(q) * len(k) > 1e6 or failure.status is not Status.INCORRECT:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(logits_of(q, k).astype(np.float64), v)
        return not difference(wrong, failure.actual(0), 1e-6, 1e-9)

    return applies


def _soft(x, v):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


def _one_maximum(x, v):
    e = np.exp(x - x.max())
    return e @ v / e.sum(axis=1, keepdims=True)


def _naive(x, v):
    return np.exp(x) @ v / np.exp(x).sum(axis=1, keepdims=True)


def _has_blocks(failure):
    return len(failure.case.arguments[0][1]) > 64


def _unscaled(failure, power):
    """Logits times the square root of a, or divided by it once more."""
    q, k, v = failure.case.arguments[0]
    if q.shape[1] == 1 or len(q) * len(k) > 1e6 or failure.status is not Status.INCORRECT:
        return False
    wrong = _soft(logits_of(q, k).astype(np.float64) * q.shape[1] ** (power / 2), v)
    return not difference(wrong, failure.actual(0), 1e-6, 1e-9)


def _is_multiple(failure):
    """Each row of the result is a multiple of the right one: d is wrong, or total as a whole."""
    found, wanted = failure.actual(0), failure.case.expected[0]["return"]
    if not np.isfinite(found).all() or found.shape[1] < 2:
        return False
    ratios = found / wanted
    return bool(np.allclose(ratios, ratios[:, :1], rtol=1e-6))


def _without_rest(failure):
    """What some whole blocks give, of a size that is a round number."""
    q, k, v = failure.case.arguments[0]
    if len(q) * len(k) > 1e6:
        return False
    x = logits_of(q, k).astype(np.float64)
    for block in (*(2**power for power in range(1, 12)), 100, 200, 500, 1000):
        num_keys = len(k) // block * block
        if num_keys == len(k):
            continue
        wrong = _soft(x[:, :num_keys], v[:num_keys]) if num_keys else 0 * failure.actual(0)
        if not difference(wrong, failure.actual(0), 1e-6, 1e-9):
            return True
    return False


def _blocks_averaged(failure):
    """The sum, or the mean, of what blocks give by themselves."""
    q, k, v = failure.case.arguments[0]
    if len(q) * len(k) > 1e6:
        return False
    x = logits_of(q, k).astype(np.float64)
    for block in (*(2**power for power in range(1, 12)), 100, 200, 500, 1000):
        cuts = range(0, len(k), block)
        total = sum(_soft(x[:, start : start + block], v[start : start + block]) for start in cuts)
        if any(not difference(total / parts, failure.actual(0), 1e-6, 1e-9) for parts in (1, len(cuts))):
            return True
    return False


exercise = Exercise(
    title="Attention without the matrix",
    function="attention",
    points=7,
    points_over_budget=3,
    cases=cases,
    memory_bytes=1 << 28,
    time_limit_s=20.0,
    hints=(
        "total and d are sums over the keys with the same weights, exp(logit - m). So whatever happens to d when m "
        "changes happens to total as well, in all its columns.",
        "Of a block: its logits (n, b), the new maximum of each query, e = exp(logits - new), factor = exp(m - new)."
        " Then d becomes d * factor + the sum of e, and total becomes total * factor + e @ the block's rows of v. "
        "Begin with m = -inf and zeros, and divide once, at the end.",
        "for start in range(0, len(k), 256):\n"
        "    logits = q @ k[start : start + 256].T / np.sqrt(q.shape[1])\n"
        "    new = np.maximum(m, logits.max(axis=1, keepdims=True))\n"
        "    e, factor = np.exp(logits - new), np.exp(m - new)\n"
        "    d = d * factor + e.sum(axis=1, keepdims=True)\n"
        "    total = total * factor + e @ v[start : start + 256]\n"
        "    m = new",
    ),
    slips=(
        Slip(
            "An argument has changed: work on new arrays.",
            lambda f: f.status is Status.INCORRECT and not difference(
                f.case.expected[0]["return"], f.actual(0), f.case.rtol, f.case.atol
            ),
        ),
        Slip(
            "The whole matrix of logits does not fit into memory, and need not exist: take a block of some hundred "
            "keys at a time.",
            lambda f: f.status is Status.CRASHED and ("MemoryError" in f.message or "Unable to allocate" in f.message),
        ),
        Slip(
            "The logits are not divided by the square root of a, the number of columns of q.",
            lambda f: _unscaled(f, 1.0),
        ),
        Slip(
            "The logits are divided by a: it is the square root of a.",
            lambda f: _unscaled(f, -1.0),
        ),
        Slip("exp of a logit of thousands overflows: subtract the maximum of each query so far.", _gives(_naive)),
        Slip(
            "One maximum for all queries: those whose logits are far below it get 0 / 0. Each query has its own m.",
            _gives(_one_maximum),
        ),
        Slip(
            "total was scaled to the new maximum, and d was not, or the other way round: both are sums with the "
            "weights exp(logit - m), so both get the factor exp(old - new).",
            lambda f: _has_blocks(f) and f.status is Status.INCORRECT and _is_multiple(f),
        ),
        Slip(
            "The last keys are missing: the number of keys need not be a multiple of the block.",
            lambda f: f.status is Status.INCORRECT and _without_rest(f),
        ),
        Slip(
            "Each block was divided by its own sum: averages of blocks cannot be added up, for blocks weigh "
            "differently. Keep total and d, and divide once, at the end.",
            lambda f: f.status is Status.INCORRECT and _has_blocks(f) and _blocks_averaged(f),
        ),
        Slip(
            "With a larger maximum, what was there has to shrink: multiply d and total by exp(old - new) before the "
            "block's part is added.",
            lambda f: f.status is Status.INCORRECT and _has_blocks(f),
        ),
        Slip(
            "K and V are read more than once. A block of keys serves all queries at the same time, with one product of "
            "matrices; maximum, sum and total come from the same pass.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
        Slip(
            "Results cannot go into an array of your own where passes are counted: write total = total * factor + "
            "..., or make it with np.zeros_like(q, shape=...).",
            lambda f: f.status is Status.CRASHED and "counts passes" in f.message,
        ),
    ),
)
