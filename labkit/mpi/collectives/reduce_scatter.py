"""Reduce-scatters: vectors of n elements are combined, and rank k gets block k of the result.

``sendbuf`` has n elements; ``recvbuf`` is the own block. With MPI.IN_PLACE as ``sendbuf``, ``recvbuf``
has n elements and its beginning gets the block. Blocks are equal unless ``counts`` is given.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 4.4. Patarasuk, Yuan: Bandwidth optimal all-reduce algorithms
for clusters of workstations, JPDC 69, 2009 (ring).
"""

from __future__ import annotations

import operator

from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.collectives.arguments import IN_PLACE, Fold, check_op, check_pair, ends_of, flat
from labkit.mpi.collectives.messages import exchange, receive
from labkit.mpi.collectives.scratch import scratch, scratch_like

TAG = 7


def reduce_scatter_pairwise(comm, sendbuf, recvbuf, *, counts=None, op=MPI.SUM) -> None:
    """In round k, give the rank k further on its block of your vector, and combine what you get.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements, or MPI.IN_PLACE
    recvbuf : array
        The own block; n elements with MPI.IN_PLACE.
    counts : sequence of int, optional
        Elements of each rank's block.
    op : mpi4py.MPI.Op
        It need not commute: operands from lower and from higher ranks are combined apart, in order.

    Raises
    ------
    UsageError
        Sizes or types do not fit together, a buffer is no contiguous array, or ``op`` is not defined for the
        type.

    Notes
    -----
    p - 1 rounds, n (p - 1) / p bytes and combined.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     mine = np.empty(1)
    ...     reduce_scatter_pairwise(comm, np.arange(3.0), mine)
    ...     return mine[0]
    >>> [float(x) for x in simulate(3, program).results]
    [0.0, 3.0, 6.0]
    """
    data, result, ends = _prepared(comm, "reduce_scatter_pairwise", sendbuf, recvbuf, counts, op)
    rank, size = comm.rank, comm.size
    lower = data[ends[rank] : ends[rank + 1]]  # own and those of ranks rank - 1, ..., 0
    total = scratch_like(lower) if data is result else result  # in place, block 0 stands there until it is sent
    upper = None  # those of ranks size - 1, ..., rank + 1
    room = scratch_like(lower)
    for step in range(1, size):
        dest, source = (rank + step) % size, (rank - step) % size
        first_of_upper = not op.Is_commutative() and source == size - 1 and rank < size - 1
        theirs = scratch_like(lower) if first_of_upper else room
        exchange(comm, data[ends[dest] : ends[dest + 1]], dest, theirs, source, TAG)
        if first_of_upper:
            upper = theirs
        elif upper is not None:
            reduce_local(comm, theirs, upper, op)
        else:
            reduce_local(comm, theirs, lower, op, total)
            lower = total
    if upper is not None:
        reduce_local(comm, lower, upper, op, total)
        lower = total
    if lower is not result:
        result[: lower.size] = lower


def reduce_scatter_recursive_halving(comm, sendbuf, recvbuf, *, counts=None, op=MPI.SUM) -> None:
    """Exchange half of the vector with a rank half the world away, then a quarter, and so on.

    The choice for short vectors. For p that is no power of two the first ranks pair up before.
    Parameters and errors as :func:`reduce_scatter_pairwise`; the operation must commute.

    Notes
    -----
    lg p rounds, n (p - 1) / p bytes and combined; two more rounds if p is no power of two, with n bytes
    and a block.
    """
    call = "reduce_scatter_recursive_halving"
    data, result, ends = _prepared(comm, call, sendbuf, recvbuf, counts, op, must_commute=True)
    fold = Fold(comm.size, comm.rank)
    block = result[: ends[comm.rank + 1] - ends[comm.rank]]
    if not fold.acts:
        comm.Send(data, fold.partner, TAG)
        receive(comm, block, fold.partner, TAG)
        return
    if fold.num_acting == 1:
        block[...] = data
        return
    total, theirs = scratch_like(data), scratch_like(data)
    if fold.is_folded:
        receive(comm, theirs, fold.partner, TAG)
        reduce_local(comm, data, theirs, op, total)
        data = total
    acting_ends = [ends[fold.first_of(k)] for k in range(fold.num_acting + 1)]
    reduce_scatter_blocks_halving(comm, data, total, theirs, acting_ends, fold.number, fold.num_acting, fold.rank_of, op)
    block[...] = total[ends[comm.rank] : ends[comm.rank + 1]]
    if fold.is_folded:
        comm.Send(total[ends[fold.partner] : ends[fold.partner + 1]], fold.partner, TAG)


def reduce_scatter_blocks_halving(comm, own, total, theirs, ends, number, num_acting, rank_of, op) -> None:
    """Recursive halving among acting ranks: at the end, block ``number`` of ``total`` is complete.

    ``own`` is the rank's vector, and may be ``total``; ``theirs`` is room for what arrives; ``rank_of`` turns
    numbers into ranks.
    """
    first, num_blocks = 0, num_acting  # the blocks that this rank still works on
    while num_blocks > 1:
        half = num_blocks // 2
        peer = number ^ half
        keep = first + (half if number & half else 0)
        give = first + (0 if number & half else half)
        start, end, partner = ends[keep], ends[keep + half], rank_of(peer)
        arriving, mine = theirs[start:end], own[start:end]
        exchange(comm, own[ends[give] : ends[give + half]], partner, arriving, partner, TAG)
        reduce_local(comm, arriving, mine, op, mine if own is total else total[start:end])
        first, num_blocks, own = keep, half, total


def reduce_scatter_ring(comm, sendbuf, recvbuf, *, counts=None, op=MPI.SUM) -> None:
    """Each block travels once around the ring and collects the contributions on its way.

    The choice for long vectors. Parameters and errors as :func:`reduce_scatter_pairwise`; the operation
    must commute.

    Notes
    -----
    p - 1 rounds, n (p - 1) / p bytes and combined.
    """
    call = "reduce_scatter_ring"
    data, result, ends = _prepared(comm, call, sendbuf, recvbuf, counts, op, must_commute=True)
    if comm.size == 1:
        result[...] = data
    reduce_scatter_blocks_ring(comm, data, ends, op, comm.rank, result[: ends[comm.rank + 1] - ends[comm.rank]])


def reduce_scatter_blocks_ring(comm, data, ends, op, last: int, result) -> None:
    """The ring itself: ``result`` gets block ``last``, combined; of ``data`` nothing else is written."""
    size = comm.size
    right, left = (comm.rank + 1) % size, (comm.rank - 1) % size
    longest = max(map(operator.sub, ends[1:], ends))
    rooms = [scratch(longest, data.dtype) for _ in range(min(2, size - 1))]
    first = (last - 1) % size
    leaving = data[ends[first] : ends[first + 1]]
    for step in range(size - 1):
        into = (last - step - 2) % size
        mine = data[ends[into] : ends[into + 1]]
        arriving = rooms[step % 2][: mine.size]
        exchange(comm, leaving, right, arriving, left, TAG)
        leaving = result if step == size - 2 else arriving  # the sum over step + 2 ranks
        reduce_local(comm, arriving, mine, op, leaving)


def _prepared(comm, call, sendbuf, recvbuf, counts, op, *, must_commute=False):
    """The own vector, where the own block goes, and the ends of all blocks."""
    result = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    data = result if sendbuf is IN_PLACE else flat(comm, call, sendbuf, "sendbuf")
    check_op(comm, call, op, data, must_commute=must_commute)
    ends = ends_of(comm, call, counts, data.size)
    if sendbuf is not IN_PLACE:
        block = data[ends[comm.rank] : ends[comm.rank + 1]]
        check_pair(comm, call, "recvbuf", result, "the block of this rank in sendbuf", block, memory=data)
    return data, result, ends
