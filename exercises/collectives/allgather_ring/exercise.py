"""All-gather around a ring: values, the cost of the ring, and virtual time where only neighbours are near."""

import ast

import numpy as np

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.topologies import Ring
from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find

ALPHA_S, BETA_S_PER_BYTE = 1e-6, 1e-9
RING = alpha_beta(ALPHA_S, BETA_S_PER_BYTE, name="ring of cables", topology=Ring())


def case(num_ranks, block, *, dtype=np.int64, data_seed=0, on_ring=False, **options):
    """An all-gather of ``block`` elements a rank; on a ring of cables, its time is limited as well."""
    rng = np.random.default_rng([num_ranks, block, data_seed])
    blocks = rng.integers(-1000, 1000, (num_ranks, block)).astype(dtype)
    rooms = rng.integers(-1000, 1000, (num_ranks, num_ranks * block)).astype(dtype)  # what recvbuf holds before
    cost = find("allgather_ring").cost(num_ranks, num_ranks * block)
    budget = Budget(
        num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds,
        # 1 % for rounding: what takes longer waits for somebody.
        time_s=1.01 * cost.time_s(ALPHA_S, BETA_S_PER_BYTE) if on_ring else None,
    )
    words = f"{num_ranks} rank{'s' * (num_ranks > 1)}, m = {block}"
    return mpi_case(
        num_ranks, words + (", cables in a ring" if on_ring else ""),
        lambda rank: (blocks[rank].copy(), rooms[rank].copy()),
        lambda rank: {1: blocks.reshape(-1), 0: blocks[rank].copy()},
        budget=budget, network=RING if on_ring else None, **options,
    )


def cases():
    return [
        case(1, 3),
        case(2, 1),
        case(2, 3, unsafe_sends=True),
        case(3, 2),
        case(3, 1000),
        case(4, 0),
        case(4, 1, unsafe_sends=True),
        case(5, 3, dtype=np.float64),
        case(5, 2, seed=1),
        case(6, 7),
        case(7, 1, unsafe_sends=True, seed=2),
        case(8, 13),
        case(9, 100, on_ring=True),
        case(16, 3),
        case(33, 1),
        case(2, 5, real=True),
        case(4, 1500, real=True),
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


def _all_ranks(failure, is_so):
    """Whether ``is_so(rank, blocks before, blocks after, right blocks)`` for every rank of a case with blocks."""
    own = [arguments[0] for arguments in failure.case.arguments]
    size = len(own)
    if not _is_wrong(failure) or own[0].size == 0:
        return False
    befores = [arguments[1].reshape(size, -1) for arguments in failure.case.arguments]
    afters = [np.asarray(failure.actual(rank, 1)).reshape(size, -1) for rank in range(size)]
    return all(is_so(rank, befores[rank], afters[rank], np.array(own)) for rank in range(size))


def _lacks_only(block_of):
    """Ranks have all blocks but this one, whose place is as it was before."""

    def is_so(rank, before, after, right):
        block = block_of(rank, len(right))
        others = [k for k in range(len(right)) if k != block]
        return np.array_equal(after[others], right[others]) and np.array_equal(after[block], before[block])

    return lambda failure: _all_ranks(failure, is_so)


def _neighbour_repeats_itself(rank, _, after, right):
    """Besides the own block, there is the left neighbour's again and again."""
    others = [k for k in range(len(right)) if k != rank]
    return len(right) > 2 and all(np.array_equal(after[k], right[rank - 1]) for k in others)


def _in_order_of_arrival(rank, _, after, right):
    """Blocks stand in the order in which they came: own, left, left of left, ..."""
    return len(right) > 1 and np.array_equal(after, right[[(rank - step) % len(right) for step in range(len(right))]])


exercise = Exercise(
    title="An all-gather around a ring",
    function="allgather_ring",
    points=6,
    points_over_budget=2,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Every rank does the same p - 1 times: send one block to the right, receive one from the left, both at once. "
        "Which block do you have after step 1 that your right neighbour has not?",
        "Copy the own block into its place in recvbuf. In step s = 0, 1, ..., p - 2, the block of rank (rank - s) % "
        "p goes to the right, and the block of rank (rank - s - 1) % p comes from the left, straight into its place. "
        "Sendrecv does both at once.",
        "right, left = (rank + 1) % p, (rank - 1) % p\n"
        "blocks = recvbuf.reshape(p, m)\n"
        "blocks[rank] = sendbuf\n"
        "for s in range(p - 1):\n"
        "    comm.Sendrecv(blocks[(rank - s) % p], right, recvbuf=blocks[(rank - s - 1) % p], source=left)",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Allgather. The point is to write it: use Sendrecv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "Every rank sends before it receives. A Send may wait for its receive, and then all ranks wait in a "
            "circle. Use Sendrecv, or start the send with Isend and wait for it after the receive.",
            lambda f: f.status is Status.DEADLOCKED and f.case.unsafe_sends and "Send" in f.details,
        ),
        Slip(
            "The own block is missing in recvbuf: nobody sends it to you, so copy it there first.",
            _lacks_only(lambda rank, size: rank),
        ),
        Slip(
            "You are one step short: the block of your right neighbour never arrives. It has the longest way, p - 1 "
            "steps.",
            _lacks_only(lambda rank, size: (rank + 1) % size),
        ),
        Slip(
            "You send your own block in every step, so the right neighbour gets it again and again. Pass on what has "
            "just arrived from the left.",
            lambda f: _all_ranks(f, _neighbour_repeats_itself),
        ),
        Slip(
            "The blocks stand in the order in which they arrived. What comes in step s = 0, 1, ... is the block of "
            "rank (rank - s - 1) % p: receive it into the place of that rank.",
            lambda f: _all_ranks(f, _in_order_of_arrival),
        ),
        Slip(
            "Your messages go past the neighbours. On a ring of cables such a message travels through the nodes "
            "between, and keeps others from using those cables. Send to (rank + 1) % p only.",
            lambda f: f.status is Status.OVER_BUDGET and f.case.network is not None,
        ),
        Slip(
            "Half of the ranks send while the other half receives, so every step takes two rounds. A rank can send and "
            "receive at the same time: use Sendrecv, or Isend and Irecv.",
            lambda f: f.status is Status.OVER_BUDGET and {"Send", "Recv"} <= _called(f.source)
            and not _called(f.source) & {"Sendrecv", "Isend", "Irecv"},
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "block itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "You send more than is needed: each message is one block of m elements, the one that has just arrived.",
            lambda f: f.status is Status.OVER_BUDGET and "bytes" in f.message,
        ),
    ),
)
