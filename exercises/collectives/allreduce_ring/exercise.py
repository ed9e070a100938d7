"""All-reduce around a ring: sums for every n and p, the fewest bytes, and blocks of equal length."""

import ast

import numpy as np

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.topologies import Ring
from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find

ALPHA_S, BETA_S_PER_BYTE = 1e-6, 1e-8
RING = alpha_beta(ALPHA_S, BETA_S_PER_BYTE, name="ring of cables", topology=Ring())


def case(num_ranks, num_elements, *, dtype=np.int64, data_seed=0, on_ring=False, **options):
    """An all-reduce; on a ring of cables, its time is limited as well."""
    rng = np.random.default_rng([num_ranks, num_elements, data_seed])
    own = rng.integers(-1000, 1000, (num_ranks, num_elements)).astype(dtype)
    if dtype is np.float64:
        own = rng.uniform(1, 2, own.shape)  # nothing cancels: any order is right to the last digits
    cost = find("allreduce_ring").cost(num_ranks, num_elements)
    budget = Budget(
        num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds,
        # 1 % for rounding: what takes longer waits for somebody.
        time_s=1.01 * cost.time_s(ALPHA_S, BETA_S_PER_BYTE) if on_ring else None,
    )
    words = f"{num_ranks} rank{'s' * (num_ranks > 1)}, n = {num_elements}"
    return mpi_case(
        num_ranks, words + (", cables in a ring" if on_ring else ""),
        lambda rank: (own[rank].copy(), np.full_like(own[rank], -7)),
        lambda rank: {1: own.sum(axis=0), 0: own[rank].copy()},
        budget=budget, network=RING if on_ring else None, **options,
    )


def cases():
    return [
        case(1, 2),
        case(2, 2),
        case(2, 4, unsafe_sends=True),
        case(2, 3),
        case(3, 3),
        case(3, 1000),
        case(4, 4, unsafe_sends=True),
        case(4, 0),
        case(5, 1),
        case(5, 7),
        case(6, 5, seed=1),
        case(7, 29, dtype=np.float64),
        case(7, 146, on_ring=True),
        case(8, 64, unsafe_sends=True, seed=2),
        case(9, 10),
        case(16, 15),
        case(33, 34),
        case(2, 5, real=True),
        case(4, 3001, real=True),
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


def _sums_are(is_so):
    """A slip shown by ``is_so(the sum, own vectors, what each rank has)`` in a wrong case with elements."""

    def applies(failure):
        own = [arguments[0] for arguments in failure.case.arguments] if _is_wrong(failure) else []
        found = [np.asarray(failure.actual(rank, 1)) for rank in range(len(own))]
        return len(own) > 1 and own[0].size > 0 and is_so(failure.case.expected[0][1], own, found)

    return applies


def _has_changed_sendbuf(failure):
    return _is_wrong(failure) and any(
        not np.array_equal(failure.actual(rank, 0), arguments[0])
        for rank, arguments in enumerate(failure.case.arguments)
    )


def _drops_the_rest(total, own, found):
    """Right but for the last n % p elements."""
    rest = total.size % len(found)
    whole = total.size - rest
    return rest > 0 and all(np.allclose(actual[:whole], total[:whole], rtol=1e-12) for actual in found)


def _one_block_only(total, own, found):
    """Every element of the sum is on one rank only."""
    is_right = np.array([np.isclose(actual, total, rtol=1e-12) for actual in found])
    return bool((is_right.sum(axis=0) == 1).all())


def _adds_in_the_second_lap(total, own, found):
    """Two ranks: what arrives in the second lap is the sum, and it is added to the own numbers."""
    return len(found) == 2 and all(
        (np.isclose(actual, total) | np.isclose(actual, total + mine)).all()
        for mine, actual in zip(own, found, strict=True)
    )


def _own_block_starts_the_second_lap(total, own, found):
    """Two ranks: the second lap spreads the blocks that hold the numbers of one rank alone."""
    mine = np.concatenate([np.array_split(vector, 2)[rank] for rank, vector in enumerate(own)])
    return len(found) == 2 and all(np.array_equal(actual, mine) for actual in found)


exercise = Exercise(
    title="An all-reduce around a ring",
    function="allreduce_ring",
    points=10,
    points_over_budget=4,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Cut recvbuf into p blocks (np.array_split gives views). In every step each rank sends one block to the "
        "right and receives another one from the left. First lap: add what arrives. Second lap: replace.",
        "First lap, step s = 0 to p - 2: block rank - s goes out, block rank - s - 1 comes in and is added (all "
        "modulo p). After it, block rank + 1 is complete here. Second lap: block rank + 1 - s goes out, block rank - "
        "s comes in, straight into its place.",
        "blocks = np.array_split(recvbuf, p)\n"
        "for s in range(p - 1):\n"
        "    into = blocks[(rank - s - 1) % p]\n"
        "    comm.Sendrecv(blocks[(rank - s) % p], right, recvbuf=room[:into.size], source=left)\n"
        "    into += room[:into.size]\n"
        "for s in range(p - 1):\n"
        "    comm.Sendrecv(blocks[(rank + 1 - s) % p], right, recvbuf=blocks[(rank - s) % p], source=left)",
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
            "Every rank sends before it receives. A Send may wait for its receive, and then all ranks wait in a "
            "circle. Use Sendrecv, or start the send with Isend and wait for it after the receive.",
            lambda f: f.status is Status.DEADLOCKED and f.case.unsafe_sends and "Send" in f.details,
        ),
        Slip(
            "The last elements are wrong: n is no multiple of p, and blocks of n // p elements leave a rest. Give "
            "some blocks one element more, as np.array_split does.",
            _sums_are(_drops_the_rest),
        ),
        Slip(
            "In the second lap you add what arrives, but it is finished: put it in the place of what you have.",
            _sums_are(_adds_in_the_second_lap),
        ),
        Slip(
            "Only the first lap is there: each rank has one block of the sum. Send the finished blocks around once "
            "more.",
            _sums_are(_one_block_only),
        ),
        Slip(
            "The second lap begins with the wrong block. After the first lap, block rank + 1 (modulo p) is complete "
            "here: that is the first to be passed on.",
            _sums_are(_own_block_starts_the_second_lap),
        ),
        Slip(
            "Your blocks are too unequal: all ranks wait for the longest one. Let their sizes differ by at most one "
            "element, and send to neighbours only.",
            lambda f: f.status is Status.OVER_BUDGET and f.case.network is not None,
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "block itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "Half of the ranks send while the other half receives, so every step takes two rounds. A rank can send and "
            "receive at the same time: use Sendrecv, or Isend and Irecv.",
            lambda f: f.status is Status.OVER_BUDGET and {"Send", "Recv"} <= _called(f.source)
            and not _called(f.source) & {"Sendrecv", "Isend", "Irecv"},
        ),
        Slip(
            "Too many bytes: it seems that whole vectors travel. Cut the vector into p blocks, and send one block in "
            "each step.",
            lambda f: f.status is Status.OVER_BUDGET and "bytes" in f.message,
        ),
    ),
)
