"""A token goes once around the ring."""

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def ring_case(num_ranks, n, dtype="int64", *, data_seed=0, **options):
    """One case; the token at rank r is a sum of all vectors up to r with weights 1, 2, 4, ... from r downwards."""
    random = np.random.default_rng([data_seed, num_ranks, n])
    # Small numbers: 33 ranks double 32 times, and int32 cases have few ranks.
    own = random.integers(-9, 10, (num_ranks, n)).astype(dtype)

    def token(rank):
        weights = [2 ** (rank - r) for r in range(rank + 1)]
        return np.array(
            [sum(weight * int(own[r, i]) for r, weight in enumerate(weights)) for i in range(n)], dtype=dtype
        )

    budget = None
    if not options.get("real"):
        num_messages = num_ranks if num_ranks > 1 else 0
        budget = Budget(
            num_messages=num_messages, num_bytes=num_messages * own[0].nbytes, num_rounds=num_messages
        )
    return mpi_case(
        num_ranks, _label(num_ranks, n, dtype, options), lambda rank: (own[rank],),
        lambda rank: {"return": token(rank if rank else num_ranks - 1), 0: own[rank]}, budget=budget, **options,
    )


def _label(num_ranks, n, dtype, options):
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}, {n} element{'s' * (n != 1)} of {dtype}"]
    words += ["every Send waits"] * bool(options.get("unsafe_sends")) + ["messages delayed"] * ("seed" in options)
    return ", ".join(words + ["real ranks"] * bool(options.get("real")))


def cases():
    return [  # cases of equally many ranks in a row: they share their processes
        ring_case(1, 3), ring_case(1, 1, unsafe_sends=True), ring_case(2, 1), ring_case(2, 3, "int32"),
        ring_case(2, 9000, unsafe_sends=True), ring_case(3, 2, unsafe_sends=True), ring_case(3, 0),
        ring_case(4, 5, "float64", seed=1), ring_case(5, 1, "int32"), ring_case(6, 7, unsafe_sends=True),
        ring_case(7, 8, "float64"), ring_case(8, 11, seed=2), ring_case(9, 10, "int32", unsafe_sends=True),
        ring_case(16, 17), ring_case(33, 2), ring_case(2, 4, "int32", real=True), ring_case(4, 1000, real=True),
    ]


def _returned(failure, rank):
    value = failure.actual(rank)
    return value if isinstance(value, np.ndarray) else None


def _own(failure, rank):
    return failure.case.arguments[rank][0]


def _adds_only_neighbours(failure):
    """Rank r has 2 * (vector of r - 1) + own: everybody started a token of its own."""
    if failure.status is not Status.INCORRECT or failure.case.num_ranks < 3:
        return False
    found = _returned(failure, 2)
    return found is not None and np.array_equal(found, 2 * _own(failure, 1) + _own(failure, 2))


def _changes_own(failure):
    return failure.status is Status.INCORRECT and any(
        not np.array_equal(failure.actual(rank, 0), _own(failure, rank)) for rank in range(failure.case.num_ranks)
    )


def _wrong_dtype(failure):
    """The first rank that received holds numbers of another type than its vector."""
    found = _returned(failure, 1)
    return failure.status is Status.INCORRECT and found is not None and found.dtype != _own(failure, 1).dtype


def _rank_0_adds(failure):
    found, p = _returned(failure, 0), failure.case.num_ranks
    return failure.status is Status.INCORRECT and p > 1 and found is not None and np.array_equal(
        found, 2 * failure.case.expected[0]["return"] + _own(failure, 0)
    )


exercise = Exercise(
    title="Once around the ring",
    function="ring_pass",
    points=3,
    points_over_budget=1,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Somebody has to begin: if all ranks do the same in the same order, all of them wait. Which rank has "
        "something to send before it has received anything?",
        "Rank 0 sends its vector to rank 1 and then receives from rank p-1. All others receive from rank - 1, "
        "change the token and send it to (rank + 1) % p: the last rank comes back to 0 this way. One rank alone has "
        "nobody to send to.",
        "token = own.copy(); return it if comm.size == 1. On rank 0: comm.Send(own, 1), then comm.Recv(token, "
        "comm.size - 1). Else: comm.Recv(token, comm.rank - 1), token = 2 * token + own, comm.Send(token, "
        "(comm.rank + 1) % comm.size). Return token.",
    ),
    slips=(
        Slip(
            "one rank sends to itself with Send, which may wait for a receive that it never comes to. With one rank "
            "there is nothing to send: return a copy of own.",
            lambda f: f.status is Status.DEADLOCKED and f.case.num_ranks == 1,
        ),
        Slip(
            "all ranks receive first, so nobody ever sends. Rank 0 holds the token at the beginning: let it send "
            "before it receives.",
            lambda f: f.status is Status.DEADLOCKED and f.details.count("Recv") >= f.case.num_ranks
            and "has finished" not in f.details and "Send(" not in f.details,
        ),
        Slip(
            "rank 0 waits for the token and the last rank has finished without sending it: the ring is open. The "
            "neighbour after the last rank is (rank + 1) % size, that is 0.",
            lambda f: f.status is Status.DEADLOCKED and "has finished" in f.details,
        ),
        Slip(
            "the neighbour after the last rank is not rank + 1, which does not exist. Take (rank + 1) % size.",
            lambda f: f.status is Status.CRASHED and ".send(" in f.details.lower() and "%" not in f.details,
        ),
        Slip(
            "own was changed: `token = own` gives the same array a second name. Begin with own.copy().",
            _changes_own,
        ),
        Slip(
            "the buffer of the receive has another type than the message: np.empty(n) is float64. Use "
            "np.empty_like(own).",
            _wrong_dtype,
        ),
        Slip(
            "every rank sends its own vector on, so no token passes more than one rank. Receive before you send, on "
            "all ranks but 0.",
            _adds_only_neighbours,
        ),
        Slip(
            "rank 0 has changed the token that came back. Only ranks 1 to p-1 do.",
            _rank_0_adds,
        ),
        Slip(
            "send and recv pickle the array, which adds bytes to every message. Send and Recv transfer the numbers "
            "alone.",
            lambda f: f.status is Status.OVER_BUDGET and ".send(" in f.source,
        ),
    ),
)
