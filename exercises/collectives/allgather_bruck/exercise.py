"""Bruck's all-gather: values, ceil(lg p) rounds, and no block too many."""

import ast

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find


def case(num_ranks, block, *, dtype=np.int64, data_seed=0, **options):
    """An all-gather of ``block`` elements a rank."""
    rng = np.random.default_rng([num_ranks, block, data_seed])
    blocks = rng.integers(-1000, 1000, (num_ranks, block)).astype(dtype)
    cost = find("allgather_bruck").cost(num_ranks, num_ranks * block)
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, m = {block}",
        lambda rank: (blocks[rank].copy(), np.full(num_ranks * block, -7, dtype)),
        lambda rank: {1: blocks.reshape(-1), 0: blocks[rank].copy()},
        budget=Budget(num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds),
        **options,
    )


def cases():
    return [
        case(1, 3),
        case(2, 1),
        case(2, 3, unsafe_sends=True),
        case(3, 1),
        case(3, 2),
        case(4, 1, unsafe_sends=True),
        case(4, 0),
        case(5, 1),
        case(5, 700),
        case(6, 3, seed=1),
        case(7, 2, unsafe_sends=True),
        case(8, 5, dtype=np.float64),
        case(9, 1, unsafe_sends=True, seed=2),
        case(16, 2),
        case(33, 1),
        case(2, 5, real=True),
        case(3, 1000, real=True),
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


def _loops_over_ranks(source):
    """Whether a message is sent for each number of a range that involves no logarithm."""
    loops = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For | ast.ListComp)]
    return any(
        "range(" in loop
        and not any(word in loop for word in ("log", "bit_length"))
        and _called(loop) & {"Send", "Isend", "Sendrecv"}
        for loop in loops
    )


def _turned_by(turn_of):
    """Every rank has all blocks, turned by ``turn_of(rank)`` places from where they belong."""

    def applies(failure):
        if not _is_wrong(failure):
            return False
        blocks = np.array([arguments[0] for arguments in failure.case.arguments])
        return all(
            np.array_equal(failure.actual(rank, 1), np.roll(blocks, turn_of(rank), axis=0).reshape(-1))
            for rank in range(len(blocks))
        )

    return applies


def _lacks_the_rest(failure):
    """The blocks of the next ranks are there, as many as a power of two; the others are not."""
    if not _is_wrong(failure):
        return False
    blocks = np.array([arguments[0] for arguments in failure.case.arguments])
    size = len(blocks)
    reached = 1 << (size.bit_length() - 1)
    for rank in range(size):
        is_right = (np.asarray(failure.actual(rank, 1)).reshape(blocks.shape) == blocks).all(axis=1)
        if is_right.tolist() != [(k - rank) % size < reached for k in range(size)]:
            return False
    return reached < size


exercise = Exercise(
    title="Bruck's all-gather",
    function="allgather_bruck",
    points=8,
    points_over_budget=3,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Do not think of places in recvbuf yet. Collect blocks in an array of your own: your block first, then that "
        "of the next rank, and so on. If the rank two further on does the same, what it has is what you need next.",
        "found has p rows of m elements, found[0] is the own block, have = 1. Each round: receive num = min(have, p "
        "- have) rows into found[have : have + num] from rank + have, and send found[:num] to rank - have (modulo "
        "p). Row k is then the block of rank + k: put it into its place.",
        "while have < p:\n"
        "    num = min(have, p - have)\n"
        "    comm.Sendrecv(found[:num], (rank - have) % p, recvbuf=found[have:have + num], source=(rank + have) % p)\n"
        "    have += num\n"
        "for k in range(p):\n"
        "    owner = (rank + k) % p\n"
        "    recvbuf[owner * m : (owner + 1) * m] = found[k]",
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
            "All blocks are there, but each rank has its own block first. Row k is the block of rank (rank + k) % p: "
            "turn the blocks into their places at the end.",
            _turned_by(lambda rank: -rank),
        ),
        Slip(
            "The turn at the end goes the wrong way. Row k is the block of rank (rank + k) % p, so the rows move up "
            "by rank places: np.roll(found, rank, axis=0).",
            _turned_by(lambda rank: -2 * rank),
        ),
        Slip(
            "The last round is missing when p is no power of two: the blocks that are left over never come. Go on "
            "while you have fewer than p blocks, and take only what you lack.",
            _lacks_the_rest,
        ),
        Slip(
            "This works for powers of two only: you talk to rank ^ distance, and for other p there is no such rank. "
            "Bruck's partners are rank - distance and rank + distance, modulo p.",
            lambda f: f.status is Status.CRASHED and "MPI_ERR_RANK" in f.message,
        ),
        Slip(
            "Your answer takes p - 1 rounds, as a ring does. Take over all that a rank has collected, not one block: "
            "then what you have doubles in every round.",
            lambda f: f.status is Status.OVER_BUDGET and _loops_over_ranks(f.source),
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "array itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "You send blocks that the other rank has already. In the last round only p - have blocks are lacking: send "
            "min(have, p - have) of them, and never the whole array.",
            lambda f: f.status is Status.OVER_BUDGET and "bytes" in f.message,
        ),
    ),
)
