"""Hierarchical all-reduce: sums for every p and size of a node, and the virtual time on nodes with one port each."""

import ast

import numpy as np

from labkit.comm.network.model import LinkCost, alpha_beta
from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find

INSIDE, BETWEEN = LinkCost(1e-7, 1e-11), LinkCost(1e-5, 1e-9)


def case(num_ranks, ranks_per_node, num_elements, *, dtype=np.int64, data_seed=0, **options):
    """An all-reduce on nodes; its time is limited where messages take the time that the statement says."""
    rng = np.random.default_rng([num_ranks, ranks_per_node, num_elements, data_seed])
    own = rng.integers(-1000, 1000, (num_ranks, num_elements)).astype(dtype)
    if dtype is np.float64:
        own = rng.uniform(1, 2, own.shape)  # nothing cancels: any order is right to the last digits
    num_nodes = -(-num_ranks // ranks_per_node)
    num_rounds = find("allreduce_recursive_doubling").cost(num_nodes, num_elements).num_rounds
    # Where two messages reach a leader at once, the vector of an extra node and a partner's, one has to wait.
    num_rounds += num_nodes & (num_nodes - 1) != 0
    num_inside = 2 * (min(num_ranks, ranks_per_node) - 1)
    time_s = 1.05 * sum(
        number * link.message_s(8 * num_elements) for number, link in ((num_inside, INSIDE), (num_rounds, BETWEEN))
    )
    is_timed = not options.keys() & {"seed", "unsafe_sends", "real"}
    network = alpha_beta(
        BETWEEN.alpha_s, BETWEEN.beta_s_per_byte, name="nodes", ranks_per_node=ranks_per_node, inside=INSIDE
    )
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, {ranks_per_node} a node, n = {num_elements}",
        lambda rank: (own[rank].copy(), np.full_like(own[rank], -7), ranks_per_node),
        lambda rank: {1: own.sum(axis=0), 0: own[rank].copy()},
        network=network, budget=Budget(time_s=time_s) if is_timed else None, **options,
    )


def cases():
    return [
        case(1, 1, 2),
        case(2, 2, 1),
        case(2, 1, 1, unsafe_sends=True),
        case(3, 3, 2),
        case(3, 2, 1),
        case(3, 1, 1),
        case(4, 2, 5),
        case(4, 2, 3, unsafe_sends=True),
        case(5, 2, 0),
        case(5, 4, 1),
        case(6, 3, 1000),
        case(6, 2, 1, seed=1),
        case(7, 3, 4, dtype=np.float64),
        case(8, 4, 2, unsafe_sends=True, seed=2),
        case(9, 4, 3),
        case(16, 4, 100),
        case(33, 8, 1),
        case(2, 2, 4, real=True),
        case(4, 2, 2000, real=True),
    ]


def _is_wrong(failure):
    """Whether values are wrong, and not only a message too many."""
    return failure.status is Status.INCORRECT and any(
        not np.allclose(failure.actual(rank, key), value, rtol=1e-12)
        for rank, expected in enumerate(failure.case.expected) for key, value in expected.items()
    )


def _has_changed_sendbuf(failure):
    return _is_wrong(failure) and any(
        not np.array_equal(failure.actual(rank, 0), arguments[0])
        for rank, arguments in enumerate(failure.case.arguments)
    )


def _shape(failure):
    """(p, q)."""
    return failure.case.num_ranks, failure.case.arguments[0][2]


def _ranks_have(value_of):
    """Every rank of a wrong case has ``value_of(rank, p, q, own vectors, the whole sum)``."""

    def applies(failure):
        if not _is_wrong(failure) or not failure.case.arguments[0][0].size:
            return False
        own = np.array([arguments[0] for arguments in failure.case.arguments])
        return all(
            np.allclose(failure.actual(rank, 1), value_of(rank, *_shape(failure), own, own.sum(axis=0)), rtol=1e-12)
            for rank in range(len(own))
        )

    return applies


def _leaders_only(failure):
    """Leaders have the sum; some others have what they had before."""
    if not _is_wrong(failure):
        return False
    size, per_node = _shape(failure)
    expected = [values[1] for values in failure.case.expected]
    is_right = [np.allclose(failure.actual(rank, 1), expected[rank], rtol=1e-12) for rank in range(size)]
    return all(is_right[::per_node]) and not all(is_right)


def _sum_of_the_node(rank, p, q, own, total):
    first = rank - rank % q
    return own[first : first + q].sum(axis=0)


def _last_node_has_fewer(failure):
    size, per_node = _shape(failure)
    return size % per_node != 0


def _lacks_the_last_node(failure):
    """Rank 0 has the sum over the full nodes."""
    size, per_node = _shape(failure)
    own = np.array([arguments[0] for arguments in failure.case.arguments])
    return (
        _is_wrong(failure)
        and _last_node_has_fewer(failure)
        and np.allclose(failure.actual(0, 1), own[: size // per_node * per_node].sum(axis=0), rtol=1e-12)
    )


def _has_leaders(source):
    """Whether the answer works with the number of a node or of a leader."""
    operators = {ast.FloorDiv, ast.Mod}
    return any(
        isinstance(node, ast.BinOp) and type(node.op) in operators and "per_node" in ast.unparse(node.right)
        for node in ast.walk(ast.parse(source))
    )


exercise = Exercise(
    title="An all-reduce for nodes",
    function="allreduce_hierarchical",
    points=10,
    points_over_budget=4,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Three parts: the members of a node give their vectors to the leader, which adds them; the leaders make an "
        "all-reduce among themselves; each leader gives the result to its members.",
        "The leader is rank - rank % q, its members go up to min(leader + q, p) - 1. Among leaders, use your "
        "recursive doubling with node = rank // q in place of rank, c = ceil(p / q) nodes in place of p, and node * "
        "q as the rank of a leader.",
        "leader = rank - rank % q\n"
        "members = range(leader + 1, min(leader + q, p))\n"
        "if rank != leader:\n"
        "    # send to the leader, receive the result from it, return\n"
        "# leader: receive and add from all members; then with m, d as in recursive doubling\n"
        "partner = (node ^ d) * q\n"
        "# at the end, send recvbuf to all members",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Allreduce. The point is to write it: use Send, Recv and "
            "Sendrecv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "sendbuf has changed, but it belongs to the caller. Copy it into recvbuf and add there.",
            _has_changed_sendbuf,
        ),
        Slip(
            "The leaders send before they receive. A Send may wait for its receive, and then both wait for ever. Use "
            "Sendrecv, or start the send with Isend and wait for it after the receive.",
            lambda f: f.status is Status.DEADLOCKED and f.case.unsafe_sends and "Send" in f.details,
        ),
        Slip(
            "The last node may have fewer ranks than the others: its members end at p - 1. Use min(leader + q, p), "
            "and count the nodes with -(-p // q), which rounds up.",
            lambda f: f.status in (Status.CRASHED, Status.DEADLOCKED) and _last_node_has_fewer(f)
            and "min(" not in f.source,
        ),
        Slip(
            "The last node is missing in the sum: it has fewer ranks than the others, and p // q does not count it. "
            "There are -(-p // q) nodes.",
            _lacks_the_last_node,
        ),
        Slip(
            "Each node has its own sum: the leaders do not exchange theirs.",
            _ranks_have(_sum_of_the_node),
        ),
        Slip(
            "The leaders have the sum, the other ranks do not. Let every leader send it to its members at the end.",
            _leaders_only,
        ),
        Slip(
            "All ranks of a node talk to other nodes, and wait for each other at the one port of the node. Add up "
            "inside the node first, and let the leader alone talk to the others.",
            lambda f: f.status is Status.OVER_BUDGET and not _has_leaders(f.source),
        ),
        Slip(
            "Your leaders wait for each other too often. Among c leaders, recursive doubling takes lg c messages one "
            "after the other (and two more if c is no power of two); a chain, or one leader for all, takes c - 1 and "
            "more.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
