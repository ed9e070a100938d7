"""All-reduces: vectors of n elements are combined, and every rank gets the result.

``sendbuf`` may be MPI.IN_PLACE: the contribution stands in ``recvbuf``. Rings are in
:mod:`.allreduce_rings`; those that involve more than one kind of place, nodes or shared memory, in
:mod:`.allreduce_nodes`.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 4.5. De Sensi, Bonato, Saam, Hoefler: Swing: short-cutting rings
for higher bandwidth allreduce, NSDI 2024 (arXiv 2401.09356). Microsoft, MSCCL (all pairs).
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.collectives.allgather import allgather_blocks_doubling
from labkit.mpi.collectives.arguments import Fold, block_ends, own_copy
from labkit.mpi.collectives.broadcast import broadcast_binomial
from labkit.mpi.collectives.messages import exchange, receive, wait_received
from labkit.mpi.collectives.reduce import reduce_binomial
from labkit.mpi.collectives.reduce_scatter import reduce_scatter_blocks_halving
from labkit.mpi.collectives.scratch import scratch, scratch_like
from labkit.mpi.requests import wait_all

TAG = 8


def allreduce_reduce_broadcast(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Reduce to rank 0, then broadcast: the definition, by two binomial trees.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements, or MPI.IN_PLACE
    recvbuf : array, n elements
    op : mpi4py.MPI.Op
        It need not commute.

    Raises
    ------
    UsageError
        Sizes or types differ, a buffer is no contiguous array, the buffers share memory, or ``op`` is not
        defined for the type.

    Notes
    -----
    2 ceil(lg p) rounds of n bytes, n ceil(lg p) combined. Bitwise equal on all ranks: rank 0 computes.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     x = np.array([comm.rank, 1.0])
    ...     allreduce_reduce_broadcast(comm, MPI.IN_PLACE, x)
    ...     return x.tolist()
    >>> simulate(3, program).results
    [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
    """
    data = own_copy(comm, "allreduce_reduce_broadcast", sendbuf, recvbuf, op)
    reduce_binomial(comm, MPI.IN_PLACE if comm.rank == 0 else data, data, op=op)
    broadcast_binomial(comm, data)


def allreduce_recursive_doubling(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Exchange vectors with the rank at distance 1, 2, 4, ...: sums over twice as many ranks each time.

    The choice for short vectors. For p that is no power of two the first ranks pair up before. Parameters
    and errors as :func:`allreduce_reduce_broadcast`; the operation need not commute.

    Notes
    -----
    lg p rounds of n bytes, n lg p combined; two more rounds if p is no power of two. Bitwise equal on all
    ranks: both partners combine the same two vectors, that of the lower ranks on the left.
    """
    data = own_copy(comm, "allreduce_recursive_doubling", sendbuf, recvbuf, op)
    fold = Fold(comm.size, comm.rank)
    theirs = scratch_like(data)
    if not _fold_in(comm, fold, data, theirs, op):
        return
    distance = 1
    while distance < fold.num_acting:
        peer = fold.number ^ distance
        exchange(comm, data, fold.rank_of(peer), theirs, fold.rank_of(peer), TAG)
        if peer < fold.number:
            reduce_local(comm, theirs, data, op)
        else:
            reduce_local(comm, data, theirs, op, data)
        distance *= 2
    _fold_out(comm, fold, data)


def allreduce_all_pairs(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Everybody sends everybody its block, combines what arrives, and sends the sum of its own block to all.

    Ranks wait for each other twice only, so it suits few ranks that share cores. Parameters and errors as
    :func:`allreduce_reduce_broadcast`; the operation need not commute.

    Notes
    -----
    2 (p - 1) rounds, 2 n (p - 1) / p bytes, n (p - 1) / p combined. Bitwise equal on all ranks, and the
    operands of every block are combined in the order of the ranks.
    """
    data = own_copy(comm, "allreduce_all_pairs", sendbuf, recvbuf, op)
    rank, size = comm.rank, comm.size
    ends = block_ends(data.size, size)
    blocks = [data[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
    mine = blocks[rank]
    room = scratch(mine.size * size, data.dtype)
    contributions = [room[k * mine.size : (k + 1) * mine.size] for k in range(size)]
    contributions[rank] = mine
    _between_all_pairs(comm, blocks, contributions)
    total = contributions[0]
    for theirs in contributions[1:]:
        reduce_local(comm, total, theirs, op, mine if theirs is contributions[-1] else theirs)
        total = theirs
    _between_all_pairs(comm, [mine] * size, blocks)


def _between_all_pairs(comm, outgoing, incoming) -> None:
    """``outgoing[k]`` to every other rank k, ``incoming[k]`` from it; nearest ranks first."""
    sources = [(comm.rank - step) % comm.size for step in range(1, comm.size)]
    rooms = [incoming[source] for source in sources]
    receives = [comm.Irecv(room, source, TAG) for room, source in zip(rooms, sources, strict=True)]
    dests = [(comm.rank + step) % comm.size for step in range(1, comm.size)]
    sends = [comm.Isend(outgoing[dest], dest, TAG) for dest in dests]
    wait_received(comm, receives, rooms)
    wait_all(sends)


def allreduce_rabenseifner(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Reduce-scatter by recursive halving, then all-gather by recursive doubling.

    The choice for long vectors and many ranks: as few bytes as the ring, in few rounds. For p that is no
    power of two the first ranks pair up before. Parameters and errors as
    :func:`allreduce_reduce_broadcast`; the operation must commute.

    Notes
    -----
    2 lg p rounds, 2 n (p - 1) / p bytes, n (p - 1) / p combined; two more rounds of n bytes if p is no power
    of two. Bitwise equal on all ranks: each block is computed once and then copied.
    """
    call = "allreduce_rabenseifner"
    data = own_copy(comm, call, sendbuf, recvbuf, op, must_commute=True)
    fold = Fold(comm.size, comm.rank)
    theirs = scratch_like(data)
    if not _fold_in(comm, fold, data, theirs, op):
        return
    ends = block_ends(data.size, fold.num_acting)
    reduce_scatter_blocks_halving(comm, data, data, theirs, ends, fold.number, fold.num_acting, fold.rank_of, op)
    allgather_blocks_doubling(comm, data, ends, fold)
    _fold_out(comm, fold, data)


def allreduce_swing(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Rabenseifner's plan with nearer partners: the peer swings from side to side, at distance 1, 1, 3, 5, 11.

    For networks where distance costs, such as rings and tori. For p that is no power of two the first
    ranks pair up before. Parameters and errors as :func:`allreduce_reduce_broadcast`; the operation must
    commute.

    Notes
    -----
    2 lg p rounds, 2 n (p - 1) / p bytes, n (p - 1) / p combined; two more rounds of n bytes if p is no power
    of two. Bitwise equal on all ranks: each block is computed once and then copied.
    """
    call = "allreduce_swing"
    data = own_copy(comm, call, sendbuf, recvbuf, op, must_commute=True)
    fold = Fold(comm.size, comm.rank)
    theirs = scratch_like(data)
    if not _fold_in(comm, fold, data, theirs, op):
        return
    num_acting, me = fold.num_acting, fold.number
    num_steps = num_acting.bit_length() - 1
    ends = block_ends(data.size, num_acting)
    for step in range(num_steps):  # reduce-scatter: give the peer what it and its later peers care for
        peer = swing_peer(me, step, num_acting)
        give, keep = (swing_blocks(number, step + 1, num_acting) for number in (peer, me))
        arriving = theirs[: sum(ends[block + 1] - ends[block] for block in keep)]
        exchange(comm, _packed(data, ends, give), fold.rank_of(peer), arriving, fold.rank_of(peer), TAG)
        start = 0
        for block in keep:
            mine = data[ends[block] : ends[block + 1]]
            reduce_local(comm, arriving[start : start + mine.size], mine, op)
            start += mine.size
    for step in reversed(range(num_steps)):  # all-gather: the same way back
        peer = swing_peer(me, step, num_acting)
        have, come = (swing_blocks(number, step + 1, num_acting) for number in (me, peer))
        together = _in_one_piece(data, ends, come)
        arriving = theirs[: sum(ends[block + 1] - ends[block] for block in come)] if together is None else together
        exchange(comm, _packed(data, ends, have), fold.rank_of(peer), arriving, fold.rank_of(peer), TAG)
        start = 0
        for block in come if together is None else ():
            mine = data[ends[block] : ends[block + 1]]
            mine[...] = arriving[start : start + mine.size]
            start += mine.size
    _fold_out(comm, fold, data)


def _packed(data, ends, blocks: list[int]) -> np.ndarray:
    """Blocks one behind the other, ready to be sent."""
    together = _in_one_piece(data, ends, blocks)
    if together is not None:
        return together
    parts = [data[ends[block] : ends[block + 1]] for block in blocks]
    return np.concatenate(parts, out=scratch(sum(part.size for part in parts), data.dtype))


def _in_one_piece(data, ends, blocks: list[int]) -> np.ndarray | None:
    """Blocks that are neighbours, where they are; None if others lie between them."""
    is_run = blocks[-1] - blocks[0] + 1 == len(blocks)
    return data[ends[blocks[0]] : ends[blocks[-1] + 1]] if is_run else None


def swing_peer(number: int, step: int, num_acting: int) -> int:
    """The peer of a rank in a step: at distance (1 - (-2)^(step + 1)) / 3, odd ranks the other way.

    Examples
    --------
    >>> [swing_peer(0, step, 16) for step in range(4)], [swing_peer(1, step, 16) for step in range(4)]
    ([1, 15, 3, 11], [0, 2, 14, 6])
    """
    distance = (1 - (-2) ** (step + 1)) // 3
    return (number + distance if number % 2 == 0 else number - distance) % num_acting


def swing_blocks(number: int, step: int, num_acting: int) -> list[int]:
    """The blocks that a rank still cares for before a step: its own, and those of all it will yet reach."""
    blocks = {number}
    for later in reversed(range(step, num_acting.bit_length() - 1)):
        blocks |= {swing_peer(block, later, num_acting) for block in blocks}
    return sorted(blocks)


def _fold_in(comm, fold: Fold, data, theirs, op) -> bool:
    """The ranks that do not act give their vector away and get the result at the end; True for those who act."""
    if not fold.acts:
        comm.Send(data, fold.partner, TAG)
        receive(comm, data, fold.partner, TAG)
        return False
    if fold.is_folded:
        receive(comm, theirs, fold.partner, TAG)
        reduce_local(comm, data, theirs, op, data)
    return True


def _fold_out(comm, fold: Fold, data) -> None:
    """The partner that did not act gets the result."""
    if fold.is_folded:
        comm.Send(data, fold.partner, TAG)
