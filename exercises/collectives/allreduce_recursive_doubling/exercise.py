"""All-reduce by recursive doubling: sums for every p, and the cost with the extra ranks folded in."""

import ast

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find


def case(num_ranks, num_elements, *, dtype=np.int64, data_seed=0, **options):
    """An all-reduce; whole numbers for integers, so that sums are exact in any order."""
    rng = np.random.default_rng([num_ranks, num_elements, data_seed])
    own = rng.integers(-1000, 1000, (num_ranks, num_elements)).astype(dtype)
    if dtype is np.float64:
        own = rng.uniform(1, 2, own.shape)  # nothing cancels: any order is right to the last digits
    cost = find("allreduce_recursive_doubling").cost(num_ranks, num_elements)
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, n = {num_elements}",
        lambda rank: (own[rank].copy(), np.full_like(own[rank], -7)),
        lambda rank: {1: own.sum(axis=0), 0: own[rank].copy()},
        budget=Budget(num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds),
        **options,
    )


def cases():
    return [
        case(1, 2),
        case(2, 1),
        case(2, 3, unsafe_sends=True),
        case(3, 1),
        case(3, 1000),
        case(4, 2),
        case(4, 0),
        case(5, 1),
        case(5, 4, unsafe_sends=True),
        case(6, 7, seed=1),
        case(7, 1, dtype=np.float64),
        case(8, 3, unsafe_sends=True, seed=2),
        case(9, 13),
        case(16, 2),
        case(33, 1),
        case(2, 5, real=True),
        case(3, 2000, real=True),
    ]


def _is_wrong(failure):
    """Whether values are wrong, and not only a message too many."""
    return failure.status is Status.INCORRECT and any(
        not np.allclose(failure.actual(rank, key), value, rtol=1e-12)
        for rank, expected in enumerate(failure.case.expected) for key, value in expected.items()
    )


def _called(source):
    """Names of the methods that the answer calls."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {function.attr for function in calls if isinstance(function, ast.Attribute)}


def _sends_in_a_loop_over_ranks(source):
    """Whether a message is sent for each number of a range that involves no logarithm."""
    loops = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For | ast.ListComp)]
    return any(
        "range(" in loop
        and not any(word in loop for word in ("log", "bit_length"))
        and _called(loop) & {"Send", "Isend", "Sendrecv"}
        for loop in loops
    )


def _has_got(sums_of):
    """Every rank of a wrong case has what ``sums_of(own vectors of all ranks)`` says for it."""

    def applies(failure):
        if not _is_wrong(failure) or failure.case.num_ranks < 2:
            return False
        sums = sums_of([arguments[0] for arguments in failure.case.arguments])
        return all(np.allclose(failure.actual(rank, 1), value, rtol=1e-12) for rank, value in enumerate(sums))

    return applies


def _partners_skipped(own):
    """Partners beyond the last rank are left out."""
    have, distance = [*own], 1
    while distance < len(own):
        have = [v + have[k ^ distance] if k ^ distance < len(own) else v for k, v in enumerate(have)]
        distance *= 2
    return have


def _around_the_circle(own):
    """The partners are those at (rank - distance) % p."""
    have, distance = [*own], 1
    while distance < len(own):
        have = [v + have[k - distance] for k, v in enumerate(have)]
        distance *= 2
    return have


def _own_vectors_only(own):
    """Every round sends the own vector."""
    have, distance = [*own], 1
    while distance < len(own):
        have = [v + own[k ^ distance] if k ^ distance < len(own) else v for k, v in enumerate(have)]
        distance *= 2
    return have


def _some_never_told(failure):
    """Some ranks have the sum, the others what they had before."""
    if not _is_wrong(failure) or not failure.case.arguments[0][0].size:
        return False
    is_right, is_old = [], []
    for rank, (own, before) in enumerate(failure.case.arguments):
        actual = failure.actual(rank, 1)
        is_right.append(np.allclose(actual, failure.case.expected[rank][1], rtol=1e-12))
        is_old.append(np.array_equal(actual, own) or np.array_equal(actual, before))
    return any(is_right) and all(right or old for right, old in zip(is_right, is_old, strict=True))


def _has_changed_sendbuf(failure):
    return _is_wrong(failure) and any(
        not np.array_equal(failure.actual(rank, 0), arguments[0])
        for rank, arguments in enumerate(failure.case.arguments)
    )


exercise = Exercise(
    title="An all-reduce by recursive doubling",
    function="allreduce_recursive_doubling",
    points=8,
    points_over_budget=3,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "First solve it for powers of two: the partner at distance d is rank ^ d, and both do the same. Then: with p "
        "- m ranks too many, let each of them give its vector to one of the others before, and get the result from "
        "it after.",
        "m = 1 << (p.bit_length() - 1), r = p - m. Of the first 2 r ranks, odd ones send to rank - 1 and wait for "
        "the result from there; even ones receive and add. Those who act have the numbers rank // 2 (below 2 r) or "
        "rank - r. Double the distance among numbers; number a is rank 2 a if a < r, else a + r. At the end, even "
        "ranks below 2 r send the result to rank + 1.",
        "number = rank // 2 if rank < 2 * r else rank - r\n"
        "d = 1\n"
        "while d < m:\n"
        "    other = number ^ d\n"
        "    partner = 2 * other if other < r else other + r\n"
        "    comm.Sendrecv(recvbuf, partner, recvbuf=theirs, source=partner)\n"
        "    recvbuf += theirs\n"
        "    d *= 2",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Allreduce. The point is to write it: use Sendrecv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "sendbuf has changed, but it belongs to the caller. Copy it into recvbuf and add there.",
            _has_changed_sendbuf,
        ),
        Slip(
            "Both partners send first. A Send may wait for its receive, and then both wait for ever. Use Sendrecv, "
            "or start the send with Isend and wait for it after the receive.",
            lambda f: f.status is Status.DEADLOCKED and f.case.unsafe_sends and "Send" in f.details,
        ),
        Slip(
            "This works for powers of two only: where the partner rank ^ distance does not exist, its part of the "
            "sum is lost. Let p - m ranks give their vectors away first, so that m = 2^k ranks are left.",
            _has_got(_partners_skipped),
        ),
        Slip(
            "This works for powers of two only: you talk to rank ^ distance, and for other p there is no such rank. "
            "Let p - m ranks give their vectors away first, so that m = 2^k ranks are left.",
            lambda f: f.status is Status.CRASHED and "MPI_ERR_RANK" in f.message,
        ),
        Slip(
            "Some vectors are added twice: with partners at (rank + distance) % p, the parts overlap when p is no "
            "power of two. Exchange with rank ^ distance, among a power of two of ranks.",
            _has_got(_around_the_circle),
        ),
        Slip(
            "In every round you send your own vector, so most of the sum is missing. Send the sum that you have so "
            "far.",
            _has_got(_own_vectors_only),
        ),
        Slip(
            "The ranks that gave their vectors away never get the result. Send it to them at the end.",
            _some_never_told,
        ),
        Slip(
            "Everybody sends its vector to every other rank: p - 1 rounds. Exchange sums, not vectors: after k "
            "rounds you have the sum of 2^k ranks.",
            lambda f: f.status is Status.OVER_BUDGET and _sends_in_a_loop_over_ranks(f.source),
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "array itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "Your messages wait for each other more often than needed. A reduction to one rank and a broadcast take "
            "twice the rounds: let both partners of an exchange send and receive at once, with Sendrecv.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
