"""Inclusive scan of matrix products: the order of the operands, and the cost of recursive doubling."""

import ast
from functools import reduce
from itertools import accumulate

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find

# Of determinant 1 or -1, so that no product becomes 0; that of 33 of them stays below 2^53.
FACTORS = np.array(
    [[[1, 1], [0, 1]], [[1, 0], [1, 1]], [[1, 1], [1, 0]], [[0, 1], [1, 1]], [[2, 1], [1, 1]], [[1, 0], [1, -1]]]
)


def case(num_ranks, num_matrices, *, dtype=np.int64, data_seed=0, **options):
    """A scan of ``num_matrices`` 2 x 2 matrices a rank."""
    rng = np.random.default_rng([num_ranks, num_matrices, data_seed])
    own = FACTORS[rng.integers(len(FACTORS), size=(num_ranks, num_matrices))].astype(dtype)
    if num_ranks > 1 and num_matrices:
        own[:2, 0] = FACTORS[:2]  # a pair whose order matters
    products = list(accumulate(own, np.matmul))
    cost = find("scan_recursive_doubling").cost(num_ranks, 4 * num_matrices)
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, n = {num_matrices}",
        lambda rank: (own[rank].copy(), np.full_like(own[rank], -7)),
        lambda rank: {1: products[rank], 0: own[rank].copy()},
        budget=Budget(num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds),
        **options,
    )


def cases():
    return [
        case(1, 2),
        case(2, 1),
        case(2, 3, unsafe_sends=True),
        case(3, 1),
        case(3, 50),
        case(4, 1),
        case(4, 0),
        case(5, 1),
        case(5, 2, unsafe_sends=True),
        case(6, 5, seed=1),
        case(7, 1, dtype=np.float64),
        case(8, 3, unsafe_sends=True, seed=2),
        case(9, 2),
        case(16, 2),
        case(33, 1),
        case(2, 4, real=True),
        case(4, 300, real=True),
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
    return any("range(" in loop and "log" not in loop and _called(loop) & {"Send", "Isend"} for loop in loops)


def _has_got(product_of):
    """Every rank has ``product_of(rank, own matrices of all ranks)``; None stands for what was there."""

    def applies(failure):
        if not _is_wrong(failure) or failure.case.num_ranks < 2:
            return False
        own = [arguments[0] for arguments in failure.case.arguments]
        for rank, (_, before) in enumerate(failure.case.arguments):
            product = product_of(rank, own)
            if not np.array_equal(failure.actual(rank, 1), before if product is None else product):
                return False
        return True

    return applies


def _reversed_when_combined(rank, own):
    """What recursive doubling gives with left and right exchanged."""
    have = [*own]
    distance = 1
    while distance < len(own):
        have = [mine @ have[k - distance] if k >= distance else mine for k, mine in enumerate(have)]
        distance *= 2
    return have[rank]


def _around_the_circle(rank, own):
    """What recursive doubling gives when the ranks form a circle."""
    have = [*own]
    distance = 1
    while distance < len(own):
        have = [have[k - distance] @ mine for k, mine in enumerate(have)]
        distance *= 2
    return have[rank]


def _own_matrices_only(rank, own):
    """What comes of sending the own matrices in every round: those of ranks 1, 2, 4, ... back."""
    product, distance = own[rank], 1
    while distance < len(own):
        product = own[rank - distance] @ product if rank >= distance else product
        distance *= 2
    return product


def _powers_of_two_rounds(rank, own):
    """What the first floor(lg p) rounds bring."""
    reach = 1 << (len(own).bit_length() - 1)
    return reduce(np.matmul, own[max(0, rank - reach + 1) : rank + 1])


def _has_changed_sendbuf(failure):
    return _is_wrong(failure) and any(
        not np.array_equal(failure.actual(rank, 0), arguments[0])
        for rank, arguments in enumerate(failure.case.arguments)
    )


exercise = Exercise(
    title="A scan of matrix products, by recursive doubling",
    function="scan_recursive_doubling",
    points=8,
    points_over_budget=3,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Keep in recvbuf the product over the ranks that end with you: at first one, then two, then four. What the "
        "rank two places back has after round 1 is just what you lack to have four.",
        "In the round of distance d = 1, 2, 4, ... below p: send recvbuf to rank + d if there is such a rank, "
        "receive into another array from rank - d if there is one, and multiply. What comes from lower ranks stands "
        "on the left. MPI.PROC_NULL as partner means: no message.",
        "recvbuf[...] = sendbuf\n"
        "while d < p:\n"
        "    dest = rank + d if rank + d < p else MPI.PROC_NULL\n"
        "    source = rank - d if rank - d >= 0 else MPI.PROC_NULL\n"
        "    comm.Sendrecv(recvbuf, dest, recvbuf=theirs, source=source)\n"
        "    # if there was a source: recvbuf[...] = theirs @ recvbuf; then double d",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Scan. The point is to write it: use Sendrecv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "sendbuf has changed, but it belongs to the caller. Multiply in recvbuf.",
            _has_changed_sendbuf,
        ),
        Slip(
            "The factors stand in the wrong order: matrices of lower ranks belong on the left. What has arrived "
            "comes from lower ranks: theirs @ mine, not mine @ theirs.",
            _has_got(_reversed_when_combined),
        ),
        Slip(
            "The own matrix is missing: this is an exclusive scan. Rank k needs the product of ranks 0 to k, its own "
            "included.",
            _has_got(lambda rank, own: reduce(np.matmul, own[:rank]) if rank else None),
        ),
        Slip(
            "The ranks do not form a circle: rank 0 must get nothing from the last rank. Leave out messages beyond "
            "the ends, for example with MPI.PROC_NULL as partner.",
            _has_got(_around_the_circle),
        ),
        Slip(
            "In every round you send your own matrices only, so some factors are missing. Send what you have so far: "
            "the product over all ranks that you have heard of.",
            _has_got(_own_matrices_only),
        ),
        Slip(
            "A round is missing when p is no power of two: the last ranks have no factors from the first ones. There "
            "are ceil(lg p) rounds: go on while the distance is less than p.",
            _has_got(_powers_of_two_rounds),
        ),
        Slip(
            "Your ranks form a chain: each waits for the one before, p - 1 rounds long. Let all ranks send in every "
            "round, over distances 1, 2, 4, ...",
            lambda f: f.status is Status.OVER_BUDGET and not any(
                isinstance(node, ast.While | ast.For | ast.comprehension) for node in ast.walk(ast.parse(f.source))
            ),
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "array itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "You send to all ranks above you. Use what they have got from others: one message a round and rank, over "
            "distances 1, 2, 4, ...",
            lambda f: f.status is Status.OVER_BUDGET and _sends_in_a_loop_over_ranks(f.source),
        ),
    ),
)
