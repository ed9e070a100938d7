"""Scatters: the k-th block of the root's buffer to rank k. ``sendbuf`` has n elements, at the root only.

Blocks are equal, n / p elements, unless ``counts`` says how many elements each rank gets
(scatter-v); then every rank passes the same counts. ``recvbuf`` is the own block; at the root it may
be MPI.IN_PLACE: its block stays where it is.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 3.
"""

from __future__ import annotations

import numpy as np

from labkit.mpi.arguments import usage_error
from labkit.mpi.collectives.arguments import IN_PLACE, check_block, check_pair, check_root, ends_from, ends_of, flat
from labkit.mpi.collectives.messages import receive
from labkit.mpi.collectives.scratch import scratch

TAG = 4


def scatter_flat(comm, sendbuf, recvbuf, *, root: int = 0, counts=None) -> None:
    """The root sends every rank its block, one after the other.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements
        At the root; None elsewhere.
    recvbuf : array, or MPI.IN_PLACE at the root
    root : int
    counts : sequence of int, optional
        Elements of each rank.

    Raises
    ------
    UsageError
        Sizes or types do not fit together, ``root`` is no rank, or a buffer is no contiguous array.

    Notes
    -----
    p - 1 rounds, n (p - 1) / p bytes.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     mine = np.empty(2, int)
    ...     scatter_flat(comm, np.arange(6) if comm.rank == 0 else None, mine)
    ...     return mine.tolist()
    >>> simulate(3, program).results
    [[0, 1], [2, 3], [4, 5]]
    """
    call = "scatter_flat"
    check_root(comm, call, root)
    if comm.rank == root:
        data, ends = _of_root(comm, call, sendbuf, recvbuf, counts)
        for step in range(1, comm.size):
            rank = (root + step) % comm.size
            comm.Send(data[ends[rank] : ends[rank + 1]], rank, TAG)
    else:
        mine = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
        check_block(comm, call, "recvbuf", mine, counts)
        receive(comm, mine, root, TAG)


def scatter_binomial(comm, sendbuf, recvbuf, *, root: int = 0, counts=None) -> None:
    """The root sends half of the blocks to one rank, which takes care of them; and so on with each half.

    The choice for short blocks: few rounds, at the price of sending blocks several times. Parameters
    and errors as :func:`scatter_flat`.

    Notes
    -----
    ceil(lg p) rounds, n (p - 1) / p bytes.
    """
    call = "scatter_binomial"
    check_root(comm, call, root)
    size = comm.size
    me = (comm.rank - root) % size  # ranks are counted from the root
    if comm.rank == root:
        data, ends_by_rank = _of_root(comm, call, sendbuf, recvbuf, counts)
        start = ends_by_rank[root]
        blocks = np.concatenate((data[start:], data[:start])) if root else data  # in order from the root
    else:
        mine = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
        ends_by_rank = check_block(comm, call, "recvbuf", mine, counts)
    ends = ends_from(ends_by_rank, root)
    mask = 1
    while mask < size and not me & mask:
        mask *= 2
    if me:
        last = min(me + mask, size)
        blocks = mine if last == me + 1 else scratch(ends[last] - ends[me], mine.dtype)
        receive(comm, blocks, (me - mask + root) % size, TAG)
    first = ends[me]
    while (mask := mask // 2) >= 1:
        if me + mask < size:
            theirs = blocks[ends[me + mask] - first : ends[min(me + 2 * mask, size)] - first]
            comm.Send(theirs, (me + mask + root) % size, TAG)
    if me and blocks is not mine:
        mine[...] = blocks[: mine.size]


def _of_root(comm, call, sendbuf, recvbuf, counts):
    """The root's flat sendbuf, of which it has taken its own block, and the ends of the blocks."""
    if sendbuf is None:
        raise usage_error(comm, call, "sendbuf is None at the root. Pass the buffer to scatter.")
    data = flat(comm, call, sendbuf, "sendbuf")
    ends = ends_of(comm, call, counts, data.size)
    if recvbuf is not IN_PLACE:
        mine = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
        own = data[ends[comm.rank] : ends[comm.rank + 1]]
        check_pair(comm, call, "recvbuf", mine, "its block in sendbuf", own, memory=data)
        mine[...] = own
    return data, ends
