"""Three exchanges that get stuck: unsafe sends on a ring, tags that do not match, a chain without a beginning."""

import re

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def repair_case(num_ranks, n, dtype="float64", *, data_seed=0, **options):
    """One case. Values are whole numbers, so that sums are exact in every dtype."""
    vectors = np.random.default_rng([data_seed, num_ranks, n]).integers(-500, 500, (num_ranks, n)).astype(dtype)
    totals = np.cumsum(vectors, axis=0, dtype=dtype)

    def expected(rank):
        partner = rank ^ 1
        from_partner = vectors[partner] if partner < num_ranks else vectors[rank]
        return {"return": (vectors[rank - 1], from_partner, totals[rank]), 0: vectors[rank]}

    budget = None
    if not options.get("real"):
        num_messages = num_ranks + num_ranks // 2 * 2 + num_ranks - 1
        budget = Budget(
            num_messages=num_messages, num_bytes=num_messages * vectors[0].nbytes, num_rounds=num_ranks + 4
        )
    words = [f"{num_ranks} rank{'s' * (num_ranks > 1)}, {n} element{'s' * (n != 1)} of {dtype}"]
    words += ["every Send waits"] * bool(options.get("unsafe_sends")) + ["messages delayed"] * ("seed" in options)
    words += ["real ranks"] * bool(options.get("real"))
    return mpi_case(
        num_ranks, ", ".join(words), lambda rank: (vectors[rank],), expected, budget=budget, **options
    )


def cases():
    # The first ones show the three faults in the order of the program.
    return [
        repair_case(2, 3, unsafe_sends=True), repair_case(3, 2, unsafe_sends=True), repair_case(3, 8200),
        repair_case(1, 4), repair_case(1, 2, unsafe_sends=True), repair_case(4, 1, "int32", unsafe_sends=True),
        repair_case(5, 6, seed=1, unsafe_sends=True), repair_case(6, 0, unsafe_sends=True),
        repair_case(7, 3, "float32"), repair_case(8, 7, unsafe_sends=True, seed=2),
        repair_case(9, 8, "int64", unsafe_sends=True), repair_case(16, 5, unsafe_sends=True),
        repair_case(33, 2, unsafe_sends=True), repair_case(2, 5, real=True), repair_case(3, 20000, real=True),
    ]


def _stuck(failure):
    return failure.status is Status.DEADLOCKED


def _waiting(failure):
    """The calls that the ranks wait in, as the verdict names them, by rank."""
    return dict(re.findall(r"rank (\d+) waits in (\w+)\(", failure.details))


def _all_in(failure, *calls):
    waiting = _waiting(failure)
    return _stuck(failure) and bool(waiting) and set(waiting.values()) <= set(calls)


def _returns(failure, position, value_of):
    """Whether every rank has ``value_of(vectors, rank)`` as the result of this position."""
    vectors = [arguments[0] for arguments in failure.case.arguments]
    return failure.status is Status.INCORRECT and all(
        np.array_equal(failure.actual(rank)[position], value_of(vectors, rank)) for rank in range(len(vectors))
    )


exercise = Exercise(
    title="Repair three deadlocks",
    function="exchange",
    points=4,
    points_over_budget=2,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "The verdict names the first part that is stuck: who waits, in which call, and for what tag. Repair one "
        "part, check again, and read the next verdict.",
        "Ring: every Send may wait until its neighbour receives, and all neighbours are sending. Pairs: each side "
        "tags with its own rank and expects this same tag from the other one. Chain: rank 0 has no left neighbour "
        "there; who begins?",
        "Ring: comm.Sendrecv(vector, right, 1, from_left, left, 1). Pairs: the tag 2 on both sides instead of "
        "comm.rank. Chain: receive only `if comm.rank > 0`; so_far is zero on rank 0.",
    ),
    slips=(
        Slip(
            "one rank alone sends to itself with a Send that waits, and never comes to its receive. Sendrecv also "
            "works with yourself.",
            lambda f: _all_in(f, "Send", "Ssend", "send") and f.case.num_ranks == 1,
        ),
        Slip(
            "the ring: both neighbours send first, and a Send may wait for its receive. Use Sendrecv, or let some "
            "ranks receive first.",
            lambda f: _all_in(f, "Send", "Ssend", "send"),
        ),
        Slip(
            "the pairs: the message has arrived with another tag than the one that is asked for. Use the same tag "
            "on both sides, or expect the sender's rank.",
            lambda f: _stuck(f) and "which asks for tag" in f.details,
        ),
        Slip(
            "the chain has no beginning: rank 0 waits for a sum from its left. It has nobody on its left here: it "
            "starts with zero.",
            lambda f: _stuck(f) and _waiting(f).get("0") == "Recv" and "has finished" not in f.details,
        ),
        Slip(
            "a rank waits for a message that the other one has never sent: does every receive have its send, on "
            "every number of ranks?",
            lambda f: _stuck(f) and "has finished" in f.details,
        ),
        Slip(
            "a partner that does not exist: the last of an odd number of ranks has none.",
            lambda f: f.status is Status.CRASHED and f.case.num_ranks % 2 == 1 and "partner" in f.details,
        ),
        Slip(
            "from_left came from the right. The vector of rank r goes to r+1, so it comes from r-1.",
            lambda f: f.case.num_ranks > 2 and _returns(f, 0, lambda vectors, rank: vectors[(rank + 1) % len(vectors)]),
        ),
        Slip(
            "total lacks the ranks further left: pass on the sum so far, not the own vector.",
            lambda f: f.case.num_ranks > 2 and _returns(
                f, 2, lambda vectors, rank: vectors[rank] + (vectors[rank - 1] if rank else 0)
            ),
        ),
        Slip(
            "the ring takes turns: each rank sends only after it has received, all the way around. A cure should "
            "not put everybody in a queue; Sendrecv lets all ranks exchange at once.",
            lambda f: f.status is Status.OVER_BUDGET and f.case.num_ranks > 3 and ".send(" not in f.source,
        ),
    ),
)
