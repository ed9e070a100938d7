"""All-gathers: every rank's block to all ranks. ``recvbuf`` has n elements, a block of each rank.

``sendbuf`` is the own block, or MPI.IN_PLACE if it stands in its place in ``recvbuf`` already. Blocks
are equal, n / p elements, unless ``counts`` says how many elements each rank has (all-gather-v).

References
----------
Thakur, Rabenseifner, Gropp 2005, section 4. Bruck, Ho, Kipnis, Upfal, Weathersby: Efficient algorithms
for all-to-all communications, IEEE TPDS 8(11), 1997. Chen, Carrasco, Apon: MPI collective operations
over IP multicast, 2005 (neighbor exchange).
"""

from __future__ import annotations

from labkit.mpi.collectives.arguments import IN_PLACE, Fold, block_ends, check_pair, ends_of, flat
from labkit.mpi.collectives.messages import exchange, receive
from labkit.mpi.collectives.scratch import scratch_like
from labkit.mpi.collectives.shared_vectors import room_of

TAG = 3


def allgather_ring(comm, sendbuf, recvbuf, *, counts=None) -> None:
    """Every rank passes on to its right what came from its left.

    The choice for long blocks: only neighbours talk, and every message is one block.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, or MPI.IN_PLACE
        The own block.
    recvbuf : array, n elements
    counts : sequence of int, optional
        Elements of each rank.

    Raises
    ------
    UsageError
        Sizes or types do not fit together, or a buffer is no contiguous array.

    Notes
    -----
    p - 1 rounds, n (p - 1) / p bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     everything = np.empty(comm.size, int)
    ...     allgather_ring(comm, np.array([comm.rank * 10]), everything)
    ...     return everything.tolist()
    >>> simulate(3, program).results
    [[0, 10, 20], [0, 10, 20], [0, 10, 20]]
    """
    data, ends, rank, _ = _prepared(comm, "allgather_ring", sendbuf, recvbuf, counts)
    allgather_blocks_ring(comm, data, ends, rank)


def allgather_blocks_ring(comm, data, ends, me: int) -> None:
    """The ring itself: rank ``comm.rank`` starts with block ``me``, its right neighbour with the next one."""
    rank, size = comm.rank, comm.size
    right, left = (rank + 1) % size, (rank - 1) % size
    passed_on = data[ends[me] : ends[me + 1]]
    for step in range(1, size):
        block = (me - step) % size
        arriving = data[ends[block] : ends[block + 1]]
        exchange(comm, passed_on, right, arriving, left, TAG)
        passed_on = arriving


def allgather_recursive_doubling(comm, sendbuf, recvbuf, *, counts=None) -> None:
    """Exchange all you have with the rank at distance 1, 2, 4, ...: what you have doubles each time.

    The choice for short blocks when p is a power of two. For other p, the first ranks pair up, one of
    each pair acts for both, and passes the result on. Parameters and errors as :func:`allgather_ring`.

    Notes
    -----
    lg p rounds, n (p - 1) / p bytes if p is a power of two; else floor(lg p) + 2 rounds and n to 1.4 n
    more bytes.
    """
    data, ends, rank, size = _prepared(comm, "allgather_recursive_doubling", sendbuf, recvbuf, counts)
    fold = Fold(size, rank)
    mine = data[ends[rank] : ends[rank + 1]]
    if not fold.acts:
        comm.Send(mine, fold.partner, TAG)
        receive(comm, data, fold.partner, TAG)
        return
    if fold.is_folded:
        receive(comm, data[ends[fold.partner] : ends[fold.partner + 1]], fold.partner, TAG)
    allgather_blocks_doubling(comm, data, [ends[fold.first_of(k)] for k in range(fold.num_acting + 1)], fold)
    if fold.is_folded:
        comm.Send(data, fold.partner, TAG)


def allgather_blocks_doubling(comm, data, ends, fold: Fold) -> None:
    """Recursive doubling among the acting ranks of a fold; ``ends`` are of their blocks."""
    distance = 1
    while distance < fold.num_acting:
        peer = fold.number ^ distance
        first, theirs = fold.number & -distance, peer & -distance  # the groups that have come together so far
        mine, room = data[ends[first] : ends[first + distance]], data[ends[theirs] : ends[theirs + distance]]
        partner = fold.rank_of(peer)
        exchange(comm, mine, partner, room, partner, TAG)
        distance *= 2


def allgather_bruck(comm, sendbuf, recvbuf, *, counts=None) -> None:
    """Get all that the rank 2^k further on has; at the end turn the blocks into their places.

    The choice for short blocks for any p. Parameters and errors as :func:`allgather_ring`.

    Notes
    -----
    ceil(lg p) rounds, n (p - 1) / p bytes, and one more copy of everything.
    """
    data, ends, rank, size = _prepared(comm, "allgather_bruck", sendbuf, recvbuf, counts)
    start = ends[rank]
    found = scratch_like(data)  # blocks of rank, rank + 1, rank + 2, ...
    found_ends = [end - start for end in ends[rank:]] + [end + data.size - start for end in ends[1 : rank + 1]]
    found[: found_ends[1]] = data[start : ends[rank + 1]]
    have = 1
    while have < size:
        num = min(have, size - have)
        exchange(
            comm, found[: found_ends[num]], (rank - have) % size,
            found[found_ends[have] : found_ends[have + num]], (rank + have) % size, TAG,
        )
        have += num
    data[start:] = found[: data.size - start]
    data[:start] = found[data.size - start :]


def allgather_neighbor_exchange(comm, sendbuf, recvbuf, *, counts=None) -> None:
    """Exchange two blocks with the left and the right neighbour in turn.

    Half the rounds of the ring, with neighbours only, when p is even; for odd p it is the ring.
    Parameters and errors as :func:`allgather_ring`.

    Notes
    -----
    p / 2 rounds for even p, p - 1 for odd p; n (p - 1) / p bytes.
    """
    data, ends, rank, size = _prepared(comm, "allgather_neighbor_exchange", sendbuf, recvbuf, counts)
    if size % 2:
        allgather_blocks_ring(comm, data, ends, rank)
        return
    step = 1 if rank % 2 == 0 else -1
    peers = ((rank + step) % size, (rank - step) % size)  # first, second
    first = peers[0]
    exchange(comm, data[ends[rank] : ends[rank + 1]], first, data[ends[first] : ends[first + 1]], first, TAG)
    # From now on pairs of blocks travel; a pair is named by its even block.
    newest = rank & ~1
    for turn in range(1, size // 2):
        peer = peers[turn % 2]
        comes = _pair_from(rank, turn, size)
        exchange(comm, data[ends[newest] : ends[newest + 2]], peer, data[ends[comes] : ends[comes + 2]], peer, TAG)
        newest = comes


def allgather_shared_memory(comm, sendbuf, recvbuf, *, counts=None) -> None:
    """Every rank lays its block into the shared memory of the node, and all copy the others' from there.

    No messages, and all wait once: the choice for long blocks of more than two ranks. Parameters and errors as
    :func:`allgather_ring`; all ranks are real ones on one node.

    Notes
    -----
    One barrier for each 2 MiB of the longest block; each rank copies n / p bytes in and n (p - 1) / p out.
    """
    call = "allgather_shared_memory"
    data, ends, *_ = _prepared(comm, call, sendbuf, recvbuf, counts)
    room_of(comm, call).show(comm, call, data, ends)


def _pair_from(rank: int, turn: int, size: int) -> int:
    """The pair of blocks that arrives in a turn: the pairs come from further and further away, by turns."""
    away = (turn + 1) // 2 * 2
    if rank % 2 == 0:
        return (rank + (-away if turn % 2 else away)) % size
    return (rank - 1 + (away if turn % 2 else -away)) % size


def _prepared(comm, call, sendbuf, recvbuf, counts):
    """The flat recvbuf with the own block in its place, the ends of all blocks, this rank and how many there are."""
    rank, size = comm.rank, comm.size  # asked once: a microsecond counts beside a message of a megabyte
    data = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    equal = counts is None and data.size % size == 0
    ends = block_ends(data.size, size) if equal else ends_of(comm, call, counts, data.size)
    if sendbuf is not IN_PLACE:
        send = flat(comm, call, sendbuf, "sendbuf")
        mine = data[ends[rank] : ends[rank + 1]]
        check_pair(comm, call, "sendbuf", send, "its block in recvbuf", mine, memory=data)
        mine[...] = send
    return data, ends, rank, size
