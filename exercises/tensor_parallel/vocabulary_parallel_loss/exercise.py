"""Cross-entropy of logits whose columns are divided: a maximum, then two sums in one message."""

import ast
import functools
import math
import warnings

import numpy as np
from mpi4py import MPI

from labkit.comm.simulated.run import simulate
from labkit.grading.exercise import Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status

RTOL, ATOL = 1e-9, 1e-9


@functools.cache
def budget(num_ranks, num_rows):
    """What all-reduces of n and 2 n float64 cost."""

    def program(comm):
        for count in (num_rows, 2 * num_rows):
            comm.Allreduce(np.zeros(count), np.empty(count), op=MPI.SUM)

    counts = simulate(num_ranks, program).counts
    return Budget(num_messages=counts.num_messages, num_bytes=counts.num_bytes, num_rounds=counts.num_rounds)


def losses_of(logits, targets):
    """Row by row, with sums that do not round."""
    found = []
    for row, target in zip(logits, targets, strict=True):
        most = row.max()
        found.append(math.log(math.fsum(math.exp(value - most) for value in row)) - (row[target] - most))
    return np.array(found)


def case(label, logits, targets, sizes, **options):
    """``sizes[rank]`` of the tokens are the rank's."""
    num_ranks, ends = len(sizes), np.cumsum([0, *sizes])
    found = losses_of(logits, targets)
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}", label, *["real ranks"] * bool(options.get("real"))]
    parts = [logits[:, i:j].copy() for i, j in zip(ends[:-1], ends[1:], strict=True)]
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (parts[rank].copy(), int(ends[rank]), targets.copy()),
        lambda rank: {"return": found, 0: parts[rank].copy()}, rtol=RTOL, atol=ATOL,
        budget=None if options.get("real") else budget(num_ranks, len(logits)), **options,
    )


def random_case(sizes, n, *, around=0.0, rows_apart=0.0, data_seed=0, **options):
    """Logits around a value, each rank's around one of its own; ``sizes[rank]`` tokens a rank.

    Each row's logits are larger than those of the row before by ``rows_apart``.
    """
    rng = np.random.default_rng([len(sizes), n, data_seed])
    logits = np.concatenate(
        [around + 40 * rng.standard_normal() + 3 * rng.standard_normal((n, size)) for size in sizes], axis=1
    )
    logits += rows_apart * np.arange(n)[:, None]
    targets = rng.integers(0, sum(sizes), n)
    shown = f"[{', '.join(map(str, sizes[:8]))}{', ...' if len(sizes) > 8 else ''}]"
    words = f"tokens {shown}, {n} row{'s' * (n > 1)}" + f", around {around:g}" * bool(around)
    words += f", rows {rows_apart:g} apart" * bool(rows_apart)
    return case(words, logits, targets, sizes, **options)


def uneven(num_ranks, most, seed):
    """Numbers of tokens from 0 to ``most``; the first rank has some."""
    return [most, *np.random.default_rng(seed).integers(0, most + 1, num_ranks - 1).tolist()]


def cases():
    even = np.random.default_rng(3).standard_normal((4, 6))
    return [
        random_case([5], 3), case("the example", np.array([[1.0, 3.0, 2.0]]), np.array([2]), [2, 1]),
        case("small logits, 4 rows", even, np.array([0, 2, 3, 5]), [3, 3]),
        random_case([4, 4], 3), random_case([3, 2], 3, rows_apart=1e3), random_case([5, 2], 4, unsafe_sends=True), random_case([4, 0], 2, seed=1),
        random_case([3, 3, 3], 1, around=1e6), random_case([0, 7, 2], 2, unsafe_sends=True),
        random_case([2, 2, 1, 9], 6, around=-1e6), random_case([0, 0, 3, 0], 1, seed=2),
        random_case(uneven(5, 6, 1), 3), random_case(uneven(6, 9, 2), 8, around=1e3),
        random_case(uneven(7, 4, 3), 4, unsafe_sends=True), random_case([4] * 8, 5),
        random_case(uneven(9, 5, 4), 2, seed=3), random_case(uneven(16, 3, 5), 4), random_case(uneven(33, 2, 6), 2),
        random_case([6, 3], 3, real=True), random_case([0, 500, 200], 30, around=1e5, real=True),
    ]


def _is(variant):
    """Whether rank r has ``variant(logits of all ranks, first tokens, targets, r)``, and not what is right."""

    def applies(failure):
        if failure.status is not Status.INCORRECT:
            return False
        parts, firsts = ([arguments[k] for arguments in failure.case.arguments] for k in (0, 1))
        targets, right = failure.case.arguments[0][2], failure.case.expected[0]["return"]
        ranks = range(failure.case.num_ranks)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = [variant(parts, firsts, targets, rank) for rank in ranks]
        found = [np.asarray(failure.actual(rank)) for rank in ranks]
        return all(np.allclose(f, w, rtol=1e-7, atol=1e-8) for f, w in zip(found, wrong, strict=True)) and not all(
            np.allclose(w, right, rtol=1e-7, atol=1e-8) for w in wrong
        )

    return applies


def _log_sum(parts):
    whole = np.concatenate(parts, axis=1)
    most = whole.max(axis=1)
    return np.log(np.exp(whole - most[:, None]).sum(axis=1)) + most


def _own_target(part, first, targets):
    here = (targets >= first) & (targets < first + part.shape[1])
    found = np.zeros(len(targets))
    found[here] = part[here, targets[here] - first]
    return found


def _own_shifts(parts, firsts, targets, rank):
    """Each rank has subtracted its own maximum, and the sums of exponentials were added up as they were."""
    own = [part.max(axis=1, initial=-np.inf) for part in parts]
    sums = sum(np.exp(part - most[:, None]).sum(axis=1) for part, most in zip(parts, own, strict=True))
    picked = sum(
        np.where((targets >= f) & (targets < f + part.shape[1]), _own_target(part, f, targets) - most, 0)
        for part, f, most in zip(parts, firsts, own, strict=True)
    )
    return np.log(sums) - picked


def _one_shift(parts, firsts, targets, rank):
    """The largest logit of all rows was subtracted from each."""
    whole = np.concatenate(parts, axis=1)
    shifted = whole - whole.max()
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]


def _calls(source, name):
    """How often a method is called in the text."""
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "attr", "") == name for node in ast.walk(ast.parse(source))
    )


exercise = Exercise(
    title="The loss of a divided vocabulary",
    function="vocabulary_parallel_loss",
    points=8,
    points_over_budget=4,
    cases=cases,
    hints=(
        "Write log(sum(exp(row))) with the largest logit subtracted. Which numbers of it can be put together from "
        "numbers of each rank, and by which operation?",
        "First the maximum, an all-reduce with MPI.MAX. Then the sum of exponentials and the logit of the target, "
        "which one rank has and all others take as 0: both are sums, so they travel in one message of 2 n numbers.",
        "comm.Allreduce(logits.max(axis=1, initial=-np.inf), maxima, op=MPI.MAX)\n"
        "own[0] = np.exp(logits - maxima[:, None]).sum(axis=1)\n"
        "own[1, here] = logits[here, targets[here] - first] - maxima[here]\n"
        "comm.Allreduce(own, total, op=MPI.SUM)",
    ),
    slips=(
        Slip(
            "One largest logit was subtracted from all rows: in a row far below it all exponentials are 0. Every row "
            "has a largest logit of its own.",
            _is(_one_shift),
        ),
        Slip(
            "NaN or infinity: exp overflows at 710. Subtract the largest logit of the row, over all ranks, before exp.",
            lambda f: f.status is Status.INCORRECT and not np.isfinite(
                [np.asarray(f.actual(rank), dtype=float) for rank in range(f.case.num_ranks)]).all(),
        ),
        Slip(
            "Each rank has subtracted its own maximum, and the sums do not belong to the same one: make the maximum "
            "over all ranks first, with MPI.MAX.",
            _is(_own_shifts),
        ),
        Slip(
            "This is the loss within the rank's own tokens: the exponentials of the others are missing in the sum.",
            _is(lambda parts, firsts, targets, rank: _log_sum([parts[rank]]) - _own_target(
                parts[rank], firsts[rank], targets) if parts[rank].shape[1] else np.zeros(len(targets))),
        ),
        Slip(
            "The sum of exponentials is right, and the target's logit is known to one rank only: the others took 0. "
            "Add it up over ranks as well.",
            _is(lambda parts, firsts, targets, rank: _log_sum(parts) - _own_target(parts[rank], firsts[rank], targets)),
        ),
        Slip(
            "The targets were taken as columns of the rank: they are counted over all ranks. Subtract first.",
            _is(lambda parts, firsts, targets, rank: _log_sum(parts) - sum(
                _own_target(part, 0, targets) for part in parts)),
        ),
        Slip(
            "This is the logarithm of the sum only: the logit of the target is missing.",
            _is(lambda parts, firsts, targets, rank: _log_sum(parts)),
        ),
        Slip(
            "The sign is turned: the loss is the logarithm of the sum minus the logit of the target.",
            _is(lambda parts, firsts, targets, rank: sum(
                _own_target(part, first, targets) for part, first in zip(parts, firsts, strict=True)) - _log_sum(parts)),
        ),
        Slip(
            "A rank without tokens takes part in both all-reduces: the others wait for it.",
            lambda f: f.status is Status.DEADLOCKED,
        ),
        Slip(
            "The maximum of no numbers does not exist for NumPy: logits.max(axis=1, initial=-np.inf).",
            lambda f: f.status is Status.CRASHED and any(not part[0].shape[1] for part in f.case.arguments),
        ),
        Slip(
            "Lower-case calls pickle what they send. comm.Allreduce, with a capital A, sends the bytes of the array "
            "alone.",
            lambda f: f.status is Status.OVER_BUDGET
            and any(_calls(f.source, name) for name in ("allreduce", "allgather", "gather", "bcast")),
        ),
        Slip(
            "Three all-reduces: the sum of exponentials and the logit of the target are both sums, and can travel in "
            "one message of 2 n numbers.",
            lambda f: f.status is Status.OVER_BUDGET and _calls(f.source, "Allreduce") > 2,
        ),
        Slip(
            "More was sent than is needed: a maximum and two sums for each row, whatever the number of tokens is.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
