"""Broadcast by a binomial tree: values for every root, and the cost of the tree to the message."""

import ast

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find


def case(num_ranks, num_elements, root=0, *, dtype=np.int64, data_seed=0, **options):
    """A broadcast: every rank begins with numbers of its own, and ends with those of the root."""
    rng = np.random.default_rng([num_ranks, num_elements, root, data_seed])
    buffers = rng.integers(-1000, 1000, (num_ranks, num_elements)).astype(dtype)
    cost = find("broadcast_binomial").cost(num_ranks, num_elements)
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, n = {num_elements}, root {root}",
        lambda rank: (buffers[rank].copy(), root), lambda rank: {0: buffers[root].copy()},
        budget=Budget(num_messages=cost.num_messages, num_bytes=cost.total_bytes, num_rounds=cost.num_rounds),
        **options,
    )


def cases():
    return [
        case(1, 3),
        case(2, 1),
        case(2, 4, 1, unsafe_sends=True),
        case(3, 2),
        case(3, 5, 1, dtype=np.float64),
        case(4, 0),
        case(4, 1000, 2),
        *(case(5, 3, root) for root in range(5)),
        case(6, 7, 5, unsafe_sends=True),
        case(7, 2, 3, seed=1),
        case(8, 13, 7, dtype=np.float64),
        case(9, 4, 4, unsafe_sends=True, seed=2),
        case(16, 3, 11),
        case(33, 2, 20),
        case(2, 6, 1, real=True),
        case(4, 2000, 3, real=True),
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


def _loops_over_all_ranks(source):
    """Whether a message is sent in ``for ... in range(... size ...)``, without a logarithm of the size."""
    return any(
        isinstance(node, ast.For) and "size" in ast.unparse(node.iter).lower()
        and not any(word in ast.unparse(node.iter) for word in ("log", "bit_length"))
        and _called(ast.unparse(node)) & {"Send", "Isend", "Ssend", "Sendrecv", "send", "isend"}
        for node in ast.walk(ast.parse(source))
    )


def _numbers(failure):
    """(p, root, what each rank began with, what it has now)."""
    arguments = failure.case.arguments
    after = [failure.actual(rank, 0) for rank in range(len(arguments))]
    return len(arguments), arguments[0][1], [own for own, _ in arguments], after


def _has_ignored_the_root(failure):
    size, root, before, after = _numbers(failure)
    return _is_wrong(failure) and root != 0 and all(np.array_equal(after[rank], before[0]) for rank in range(size))


def _has_left_ranks_out(failure):
    """The ranks up to a power of two have got it, those beyond have what they had."""
    size, root, before, after = _numbers(failure)
    reached = 1 << (size.bit_length() - 1)
    from_root = [(root + number) % size for number in range(size)]
    return (
        _is_wrong(failure)
        and reached < size
        and all(np.array_equal(after[rank], before[root]) for rank in from_root[:reached])
        and all(np.array_equal(after[rank], before[rank]) for rank in from_root[reached:])
    )


def _root_waits(failure):
    _, root, _, _ = _numbers(failure)
    lines = failure.details.replace(".", ";").split(";")
    is_waiting = any(line.strip().startswith(f"rank {root} waits in Recv") for line in lines)
    return failure.status is Status.DEADLOCKED and is_waiting


exercise = Exercise(
    title="A broadcast by a binomial tree",
    function="broadcast_binomial",
    points=6,
    points_over_budget=2,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "Count the ranks from the root on: me = (rank - root) % p. After k rounds, 2^k ranks have the buffer. Who "
        "shall be the second to have it, so that both can go on at once?",
        "Two parts. First, everybody but me = 0 receives once: from me without its lowest 1 bit (6 = 0b110 receives "
        "from 4 = 0b100). Then everybody sends to me + distance, for each power of two below that lowest bit, the "
        "largest first, as long as me + distance < p. For me = 0, begin below the first power of two that is at "
        "least p.",
        "distance = 1\n"
        "while distance < p and not me & distance:\n"
        "    distance *= 2\n"
        "if me > 0:\n"
        "    comm.Recv(buffer, (me - distance + root) % p)\n"
        "# then halve distance until it is 1, and each time:\n"
        "if me + distance < p:\n"
        "    comm.Send(buffer, (me + distance + root) % p)",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Bcast. The point is to write it: use Send and Recv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "The data of rank 0 have arrived everywhere, but the root is another rank. Count the ranks from the root: "
            "me = (rank - root) % p, and turn numbers back into ranks with (number + root) % p.",
            _has_ignored_the_root,
        ),
        Slip(
            "This works for powers of two only: the ranks beyond the largest power of two get nothing. There are "
            "ceil(lg p) rounds; in the last one, send only to ranks that exist.",
            _has_left_ranks_out,
        ),
        Slip(
            "You send to, or receive from, a rank that does not exist. The rank of a number is (number + root) % p; "
            "and when p is no power of two, the tree has gaps: send only if me + distance < p.",
            lambda f: f.status is Status.CRASHED and "MPI_ERR_RANK" in f.message,
        ),
        Slip(
            "The root waits for a message, but the root has the data: it must not receive. All others receive "
            "exactly once.",
            _root_waits,
        ),
        Slip(
            "Here one rank does all the work: it sends to one after the other, in p - 1 rounds. Let ranks that have "
            "the buffer pass it on while others do the same: ceil(lg p) rounds.",
            lambda f: f.status is Status.OVER_BUDGET and _loops_over_all_ranks(f.source),
        ),
        Slip(
            "Lower-case send pickles the array, and the messages are longer than the data. Use Send and Recv with the "
            "buffer itself.",
            lambda f: f.status is Status.OVER_BUDGET and "send" in _called(f.source),
        ),
        Slip(
            "It costs more than a tree. Every rank but the root receives the buffer exactly once; and in each round "
            "everybody who has it sends it to a rank that has not. In a chain, only one does.",
            lambda f: f.status is Status.OVER_BUDGET,
        ),
    ),
)
