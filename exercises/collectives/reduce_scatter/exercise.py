"""Reduce-scatter by recursive halving: blocks of any size, any p, and the bytes that halving saves."""

import ast

import numpy as np

from labkit.grading.exercise import COLLECTIVES, Budget, Exercise, Slip, mpi_case
from labkit.grading.outcomes import Status


def budget_of(counts):
    """The cost of halving among m ranks with r others: see the statement.

    For equal blocks this is what ``labkit.mpi.cost`` gives for ``reduce_scatter_recursive_halving``.
    """
    size, total = len(counts), sum(counts)
    num_halvings = size.bit_length() - 1
    acting = 1 << num_halvings
    rest = size - acting
    returned = sum(sorted(counts)[size - rest :])  # whoever was left out
    return Budget(
        num_rounds=num_halvings + (2 if rest else 0),
        num_messages=acting * num_halvings + 2 * rest,
        num_bytes=8 * ((acting - 1 + rest) * total + returned),
    )


def case(counts, *, dtype=np.int64, data_seed=0, **options):
    """A reduce-scatter with a rank for each of ``counts``."""
    num_ranks = len(counts)
    rng = np.random.default_rng([num_ranks, sum(counts), data_seed])
    own = rng.integers(-1000, 1000, (num_ranks, sum(counts))).astype(dtype)
    if dtype is np.float64:
        own = rng.uniform(1, 2, own.shape)  # nothing cancels: any order is right to the last digits
    blocks = np.split(own.sum(axis=0), np.cumsum(counts)[:-1])
    sizes = f"blocks of {counts[0]}" if len(set(counts)) == 1 else f"counts = {_short(counts)}"
    return mpi_case(
        num_ranks, f"{num_ranks} rank{'s' * (num_ranks > 1)}, {sizes}",
        lambda rank: (own[rank].copy(), np.full(counts[rank], -7, dtype), list(counts)),
        lambda rank: {1: blocks[rank], 0: own[rank].copy()}, budget=budget_of(counts), **options,
    )


def _short(counts):
    return f"[{', '.join(map(str, counts[:8]))}{', ...' if len(counts) > 8 else ''}]"


def uneven(num_ranks, most, seed):
    """Sizes of blocks from 0 to ``most``."""
    return np.random.default_rng(seed).integers(0, most + 1, num_ranks).tolist()


def cases():
    return [
        case([3]),
        case([1, 1]),
        case([1, 3], unsafe_sends=True),
        case([1, 1, 1]),
        case([2, 3, 1]),
        case([1] * 4),
        case([3, 0, 2, 1], unsafe_sends=True),
        case([0] * 4),
        case([2] * 5),
        case([5, 1, 0, 4, 2], unsafe_sends=True),
        case(uneven(6, 5, 1), seed=1),
        case([1] * 7, dtype=np.float64),
        case(uneven(8, 300, 2)),
        case(uneven(9, 4, 3), unsafe_sends=True, seed=2),
        case(uneven(16, 3, 4)),
        case([1] * 33),
        case([4, 3], real=True),
        case([500, 700, 300], real=True),
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


def _by_rank(failure, values_of):
    """Whether each rank of a wrong case has ``values_of(rank, ends of blocks, whole sum, own vectors)``."""
    if not _is_wrong(failure) or failure.case.num_ranks < 2:
        return False
    own = np.array([arguments[0] for arguments in failure.case.arguments])
    ends = np.cumsum([0, *failure.case.arguments[0][2]])
    return all(
        np.allclose(failure.actual(rank, 1), values_of(rank, ends, own.sum(axis=0), own), rtol=1e-12)
        for rank in range(len(own))
    )


def _other_half(rank, ends, total, own):
    """The block of the rank whose number has all digits exchanged: only for powers of two."""
    return total[ends[len(own) - 1 - rank] : ends[len(own) - rank]]


def _partial_sums(failure):
    """The result of some rank is not the whole sum, but the sum over some ranks."""
    if not _is_wrong(failure) or not 2 < failure.case.num_ranks < 10:
        return False
    own = np.array([arguments[0] for arguments in failure.case.arguments])
    ends = np.cumsum([0, *failure.case.arguments[0][2]])
    for rank, expected in enumerate(failure.case.expected):
        actual = failure.actual(rank, 1)
        if np.allclose(actual, expected[1], rtol=1e-12):
            continue
        block = own[:, ends[rank] : ends[rank + 1]]
        some = ([k for k in range(len(own)) if chosen >> k & 1] for chosen in range(1, 1 << len(own)))
        return any(np.allclose(actual, block[ranks].sum(axis=0), rtol=1e-12) for ranks in some)
    return False


def _some_never_told(failure):
    """Some ranks have their block, and the others what was there before."""
    if not _is_wrong(failure):
        return False
    is_right, is_old = [], []
    for rank, arguments in enumerate(failure.case.arguments):
        is_right.append(np.allclose(failure.actual(rank, 1), failure.case.expected[rank][1], rtol=1e-12))
        is_old.append(np.array_equal(failure.actual(rank, 1), arguments[1]))
    return any(is_right) and all(right or old for right, old in zip(is_right, is_old, strict=True))


def _has_changed_sendbuf(failure):
    return _is_wrong(failure) and any(
        not np.array_equal(failure.actual(rank, 0), arguments[0])
        for rank, arguments in enumerate(failure.case.arguments)
    )


def _has_uneven_blocks(failure):
    return failure.case is not None and len(set(failure.case.arguments[0][2])) > 1


exercise = Exercise(
    title="A reduce-scatter by recursive halving",
    function="reduce_scatter_halving",
    points=10,
    points_over_budget=4,
    cases=cases,
    forbidden=COLLECTIVES,
    hints=(
        "First solve it for powers of two: your partner is rank ^ (p / 2). Only one of you needs the lower blocks in "
        "the end, so give away the half that is not yours, and keep the other. Then the same inside each half of the "
        "world.",
        "ends = [0, counts[0], counts[0] + counts[1], ...]. Work on a copy of sendbuf; you care for blocks first to "
        "first + 2 half. Keep the half of them that contains your own block, send the other half to rank ^ half, and "
        "add what comes to what you keep. Halve until half is 0. Other p: odd ranks below 2 r give their vector to "
        "rank - 1 and get their block from there; the numbers of those who act are rank // 2 or rank - r.",
        "rank_of = lambda number: 2 * number if number < r else number + r\n"
        "first, half = 0, m // 2\n"
        "while half:\n"
        "    middle = first + half\n"
        "    low = slice(ends[rank_of(first)], ends[rank_of(middle)])\n"
        "    high = slice(ends[rank_of(middle)], ends[rank_of(middle + half)])\n"
        "    keep, give = (low, high) if number < middle else (high, low)\n"
        "    # exchange total[give] for theirs[keep] with rank_of(number ^ half); total[keep] += theirs[keep]\n"
        "    first, half = (first if number < middle else middle), half // 2",
    ),
    slips=(
        Slip(
            "You call a collective of the library, such as Reduce_scatter. The point is to write it: use Sendrecv.",
            lambda f: f.status is Status.FORBIDDEN_CALL,
        ),
        Slip(
            "sendbuf has changed, but it belongs to the caller. Add up in a copy of it.",
            _has_changed_sendbuf,
        ),
        Slip(
            "Both partners send first. A Send may wait for its receive, and then both wait for ever. Use Sendrecv, "
            "or start the send with Isend and wait for it after the receive.",
            lambda f: f.status is Status.DEADLOCKED and f.case.unsafe_sends and "Send" in f.details,
        ),
        Slip(
            "You keep the half that your partner needs: rank 0 ends with the last block. Ranks in the lower half of "
            "a group keep the lower blocks and give the upper ones away.",
            lambda f: _by_rank(f, _other_half),
        ),
        Slip(
            "The ranks that gave their vectors away never get their blocks. Send each its block at the end.",
            _some_never_told,
        ),
        Slip(
            "This works for powers of two only: your partner is rank ^ half, and for other p there is no such rank. "
            "Let p - m ranks give their vectors away first, so that m = 2^k ranks are left.",
            lambda f: f.status is Status.CRASHED and "MPI_ERR_RANK" in f.message,
        ),
        Slip(
            "You cut the vector into equal blocks, but block k has counts[k] elements: it begins where the sum of the "
            "counts before it says.",
            lambda f: f.status in (Status.CRASHED, Status.INCORRECT) and _has_uneven_blocks(f) and "//" in f.source
            and not any(word in f.source for word in ("cumsum", "accumulate", "sum(counts[")),
        ),
        Slip(
            "Parts of the sum are missing: some vectors have not been added. Pass on what you have added up so far, "
            "not your own vector, and let every rank take part.",
            _partial_sums,
        ),
        Slip(
            "Each rank sends every other rank its block: p - 1 rounds. Halving takes lg p: the half of the vector "
            "that you give away belongs to half of the world at once.",
            lambda f: f.status is Status.OVER_BUDGET and _sends_in_a_loop_over_ranks(f.source),
        ),
        Slip(
            "Lower-case calls pickle the array, and the messages are longer than the data. Use Sendrecv with the "
            "array itself.",
            lambda f: f.status is Status.OVER_BUDGET and bool(_called(f.source) & {"send", "isend", "sendrecv"}),
        ),
        Slip(
            "You send more than is needed: in each round, give away only the half that your partner cares for, and "
            "go on with the other. Whole vectors in every round make an all-reduce.",
            lambda f: f.status is Status.OVER_BUDGET and "bytes" in f.message,
        ),
    ),
)
