"""Cross-entropy with the columns spread over ranks: three all-reduces of n numbers."""

import functools
import warnings

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.compare import difference
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

INF, NAN = np.inf, np.nan
RTOL, ATOL = 1e-11, 1e-13


@functools.cache
def budget(num_ranks, n):
    """What three all-reduces of n float64 cost."""
    def program(comm):
        for _ in range(3):
            comm.Allreduce(np.zeros(n), np.empty(n), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def exact(x, targets):
    """Losses and gradient of whole rows."""
    rows = np.arange(len(x))
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
        logs = shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)
    logs[~np.isfinite(x.max(axis=1))] = NAN
    gradient = np.exp(logs)
    gradient[rows, targets] -= 1
    return -logs[rows, targets], gradient / len(x)


def case(label, rows, targets, num_columns_of_ranks, **options):
    """Given rows, cut into parts of these numbers of columns."""
    x, targets = np.array(rows, dtype=np.float64), np.array(targets, np.int64)
    cuts = np.cumsum([0, *num_columns_of_ranks]).tolist()
    parts = [np.ascontiguousarray(x[:, a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    losses, gradient = exact(x, targets)
    num_ranks = len(parts)
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", label, *["real ranks"] * bool(options.get("real"))]
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (parts[rank], targets, cuts[rank]),
        lambda rank: {
            "return": (losses, np.ascontiguousarray(gradient[:, cuts[rank] : cuts[rank + 1]])), 0: parts[rank].copy(),
        },
        rtol=RTOL, atol=ATOL, budget=None if options.get("real") else budget(num_ranks, len(x)), **options,
    )


def random_case(num_ranks, n, num_columns, *, offset=0.0, equal=True, data_seed=0, **options):
    """Rows around different offsets; each rank's columns are another distance away."""
    rng = np.random.default_rng([num_ranks, n, num_columns, data_seed])
    sizes = [len(part) for part in np.array_split(np.arange(num_columns), num_ranks)]
    if not equal:
        sizes = np.diff([0, *np.sort(rng.integers(0, num_columns + 1, num_ranks - 1)), num_columns]).tolist()
    x = 3.0 * rng.standard_normal((n, num_columns)) + offset * rng.uniform(-1, 1, (n, 1))
    x += np.repeat(offset * rng.uniform(-1, 1, num_ranks), sizes)
    x[rng.random(x.shape) < 0.05] = -INF
    targets = rng.integers(0, num_columns, n)
    x[np.arange(n), targets] = np.where(rng.random(n) < 0.5, 0.0, x.max(axis=1, initial=-1e3))
    label = f"{n} row{'s' * (n != 1)}, {num_columns} columns" + f" in parts of {sizes}" * (not equal)
    return case(label + f", around {-offset:g} to {offset:g}" * bool(offset), x, targets, sizes, **options)


def cases():
    logs = np.log([[1.0, 1.0, 2.0]])
    return [
        case("the example", logs, [2], [3]), case("the example", logs, [2], [2, 1]),
        case("two rows", [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]], [1, 0], [2, 2]),
        case("targets everywhere", [[0.0, 1.0, 2.0, 3.0]] * 4, [0, 1, 2, 3], [2, 2]),
        case("ranks far from each other", [[1000.0, 1001.0, -1000.0, -999.0]] * 2, [0, 3], [2, 2]),
        case("large logits", [[1000.0, 1001.0, 1002.0, 999.0]] * 2, [0, 3], [2, 2], unsafe_sends=True),
        case("own logits all -inf", [[-INF, -INF, 1.0, 2.0], [0.0, 1.0, -INF, -INF]], [2, 2], [2, 2]),
        random_case(3, 2, 7), case("a rank without columns", [[1.0, 2.0, 3.0]] * 2, [0, 2], [2, 0, 1]),
        random_case(4, 5, 10, offset=1e3, equal=False, seed=1), random_case(4, 3, 64, offset=1e5),
        random_case(5, 4, 3), random_case(6, 7, 40, unsafe_sends=True, offset=500.0), random_case(7, 2, 50, seed=2),
        case("rows without a softmax", [
            [-INF] * 8, [NAN, *[0.0] * 7], [*[0.0] * 7, INF], [float(k) for k in range(8)],
        ], [0, 1, 2, 3], [1] * 8),
        random_case(9, 3, 30, equal=False), random_case(16, 6, 100, offset=2e4, seed=3),
        random_case(33, 2, 40, unsafe_sends=True),
        random_case(2, 5, 1000, offset=1e4, real=True), random_case(4, 50, 203, offset=300.0, real=True),
    ]


def _found(failure, which):
    """Losses (0) or gradients (1) of all ranks."""
    return [failure.actual(rank)[which] for rank in range(failure.case.num_ranks)]


def _is(wrong, found):
    return all(not difference(w, f, 1e-9, 1e-12) for w, f in zip(wrong, found, strict=True))


def _gives(which, variant):
    """Whether losses (0) or gradients (1) are what ``variant(parts)`` gives for each rank."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = variant(failure.case.arguments)
        right = [expected["return"][which] for expected in failure.case.expected]
        found = _found(failure, which)
        return _is(wrong, found) and not _is(right, found)

    return applies


def _maxima(parts):
    return np.max([x.max(axis=1, initial=-INF) for x, _, _ in parts], axis=0)


def _sums(parts, maxima):
    """Sums of exponentials by rank, below these maxima."""
    return [np.exp(x - m[:, None]).sum(axis=1) for (x, _, _), m in zip(parts, maxima, strict=True)]


def _target_logits(parts, contribution=None):
    """Of each row; ``contribution(x, column)`` is what ranks give that do not have it."""
    total = 0.0
    for x, targets, first in parts:
        columns = targets - first
        inside = (columns >= 0) & (columns < x.shape[1])
        own = np.zeros(len(x))
        own[inside] = x[inside, columns[inside]]
        if contribution is not None:
            own[~inside] = contribution(x, columns)[~inside]
        total = total + own
    return total


def _others_contribute(failure):
    """Whether ranks without the target have put a logit of theirs, shifted or not."""
    def is_so(mode, shift):
        def taken(x, columns):
            return np.take_along_axis(x, mode(columns, x.shape[1])[:, None], axis=1)[:, 0] - shift

        return _gives(0, _losses(_right_sums, functools.partial(_target_logits, contribution=taken)))(failure)

    modes = (np.mod, lambda columns, num: np.clip(columns, 0, num - 1))
    return any(is_so(mode, shift) for mode in modes for shift in (0.0, _maxima(failure.case.arguments)))


def _losses(sums_of, logits_of=_target_logits, shift=True):
    def variant(parts):
        m = _maxima(parts)
        loss = np.log(sums_of(parts, m)) + (m if shift else 0.0) - logits_of(parts)
        return [loss] * len(parts)

    return variant


def _below_own_maxima(parts, m):
    return sum(_sums(parts, [x.max(axis=1, initial=-INF) for x, _, _ in parts]))


def _right_sums(parts, m):
    return sum(_sums(parts, [m] * len(parts)))


def _right_where_the_target_is(shifted):
    """The logit of the target is 0 on the other ranks, or 0 before the maximum is subtracted."""

    def variant(parts):
        m = _maxima(parts)
        losses = np.log(_right_sums(parts, m))
        is_mine = [(targets >= first) & (targets < first + x.shape[1]) for x, targets, first in parts]
        shift = [np.where(mine, m, 0.0) if shifted else m for mine in is_mine]
        return [losses + s - _target_logits([part]) for part, s in zip(parts, shift, strict=True)]

    return variant


def _gradients(change):
    """Gradients with something else: ``change(gradient, x, targets, first, own sums, sums)``."""

    def variant(parts):
        m = _maxima(parts)
        own = _sums(parts, [m] * len(parts))
        return [
            change(np.exp(x - m[:, None]), x, targets, first, mine, sum(own))
            for (x, targets, first), mine in zip(parts, own, strict=True)
        ]

    return variant


def _minus_target(p, targets, first):
    p = p.copy()
    here = np.flatnonzero((targets >= first) & (targets < first + p.shape[1]))
    p[here, targets[here] - first] -= 1
    return p


exercise = Exercise(
    title="A vocabulary on many ranks",
    function="parallel_cross_entropy",
    points=8,
    points_over_budget=3,
    cases=cases,
    hints=(
        "Each rank can calculate the maximum and the sum of its own columns. What has to be the same on all ranks "
        "before sums can be added up? And who knows the logit of the target?",
        "First all-reduce the maxima (op=MPI.MAX), and subtract the result everywhere. Then the sums of exponentials"
        " add up (op=MPI.SUM). A target is mine if first <= target < first + own columns: those ranks put its "
        "shifted logit, the others 0, and the third all-reduce brings it to all.",
        "comm.Allreduce(x.max(axis=1, initial=-np.inf), maxima, op=MPI.MAX)\n"
        "comm.Allreduce(np.exp(x - maxima[:, None]).sum(axis=1), sums, op=MPI.SUM)\n"
        "here = np.flatnonzero((targets >= first) & (targets < first + x.shape[1]))\n"
        "own[here] = x[here, targets[here] - first] - maxima[here]\n"
        "comm.Allreduce(own, logits, op=MPI.SUM)\n"
        "losses = np.log(sums) - logits",
    ),
    slips=(
        Slip(
            "x has changed: it belongs to the caller.",
            lambda f: f.status is Status.INCORRECT and all(
                _is([e["return"][which] for e in f.case.expected], _found(f, which)) for which in (0, 1)
            ),
        ),
        Slip(
            "Each rank has subtracted its own maximum, and then the sums were added up: they count exponentials below "
            "different numbers. All-reduce the maxima first, with op=MPI.MAX.",
            _gives(0, _losses(_below_own_maxima)),
        ),
        Slip(
            "The loss has too large a number in it, or too small a one, by m: from the logit of the target the "
            "maximum has to be subtracted, too, as from all others.",
            _gives(0, _losses(_right_sums, shift=False)),
        ),
        Slip(
            "The logit of the target is known on one rank only, and there the loss is right. It takes the third "
            "all-reduce to bring it to all.",
            lambda f: any(_gives(0, _right_where_the_target_is(shifted))(f) for shifted in (True, False)),
        ),
        Slip(
            "Ranks that do not have the target have contributed another of their logits: a negative index counts "
            "from the end, and a clipped one is somebody else's. They contribute 0.",
            _others_contribute,
        ),
        Slip(
            "Lower-case calls compare whole objects, and arrays have no order: comm.Allreduce, with a capital A, "
            "takes the maximum of each element.",
            lambda f: f.status is Status.CRASHED and "truth value" in f.message,
        ),
        Slip(
            "A target of another rank is no column of this one: first <= target < first + own columns tells whose it"
            " is.",
            lambda f: f.status is Status.CRASHED and "IndexError" in f.message,
        ),
        Slip(
            "A rank may have no columns: the maximum of nothing needs initial=-np.inf.",
            lambda f: f.status is Status.CRASHED and "zero-size" in f.message,
        ),
        Slip(
            "The losses are right. The gradient divides by the sum of the own columns: the probabilities of all ranks "
            "together add up to 1, so it is the sum over all ranks.",
            _gives(1, _gradients(lambda e, x, t, first, own, sums: _minus_target(e / own[:, None], t, first) / len(x))),
        ),
        Slip(
            "The losses are right. The gradient of their mean has a factor 1 / n.",
            _gives(1, _gradients(lambda e, x, t, first, own, sums: _minus_target(e / sums[:, None], t, first))),
        ),
        Slip(
            "The losses are right. The gradient is p - t: subtract 1 at the target, on the rank that has it.",
            _gives(1, _gradients(lambda e, x, t, first, own, sums: e / sums[:, None] / len(x))),
        ),
        Slip(
            "The losses are right. In the gradient, every rank subtracts 1 somewhere: only that which has the target"
            " may.",
            lambda f: f.status is Status.INCORRECT and _is([e["return"][0] for e in f.case.expected], _found(f, 0)),
        ),
        Slip(
            "exp overflows, or underflows on all ranks: subtract the same number from all logits of a row, on all "
            "ranks. The largest one: all-reduce the maxima with op=MPI.MAX.",
            lambda f: f.status is Status.INCORRECT and not all(np.isfinite(loss).all() for loss in _found(f, 0))
            and np.isfinite(f.case.expected[0]["return"][0]).all(),
        ),
        Slip(
            "Logits were sent, or pickled objects, or a message for each row. Three numbers a row are enough, for "
            "all rows in one array: comm.Allreduce with a capital A.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
        Slip(
            "All ranks have to call the same collectives in the same order, also those that have no columns or no "
            "target.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
    ),
)
