"""Gathers: every rank's block to the root. ``recvbuf`` has n elements, at the root only.

Blocks are equal, n / p elements, unless ``counts`` says how many elements each rank sends
(gather-v); then every rank passes the same counts. ``sendbuf`` is the own block; at the root it may
be MPI.IN_PLACE: its block stands in its place already.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 3.
"""

from __future__ import annotations

from labkit.mpi.arguments import usage_error
from labkit.mpi.collectives.arguments import IN_PLACE, check_block, check_pair, check_root, ends_from, ends_of, flat
from labkit.mpi.collectives.messages import receive
from labkit.mpi.collectives.scratch import scratch

TAG = 5


def gather_flat(comm, sendbuf, recvbuf, *, root: int = 0, counts=None) -> None:
    """Everybody sends to the root, which receives one block after the other.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, or MPI.IN_PLACE at the root
    recvbuf : array, n elements
        At the root; None elsewhere.
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
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     everything = np.empty(3, int) if comm.rank == 2 else None
    ...     gather_flat(comm, np.array([comm.rank]), everything, root=2)
    ...     return everything.tolist() if comm.rank == 2 else None
    >>> simulate(3, program).results
    [None, None, [0, 1, 2]]
    """
    call = "gather_flat"
    check_root(comm, call, root)
    if comm.rank == root:
        data, ends = _of_root(comm, call, sendbuf, recvbuf, counts)
        for step in range(1, comm.size):
            rank = (root + step) % comm.size
            receive(comm, data[ends[rank] : ends[rank + 1]], rank, TAG)
    else:
        own = flat(comm, call, sendbuf, "sendbuf")
        check_block(comm, call, "sendbuf", own, counts)
        comm.Send(own, root, TAG)


def gather_binomial(comm, sendbuf, recvbuf, *, root: int = 0, counts=None) -> None:
    """Pairs put their blocks together, then pairs of pairs, up to the root.

    The choice for short blocks. Parameters and errors as :func:`gather_flat`.

    Notes
    -----
    ceil(lg p) rounds, n (p - 1) / p bytes.
    """
    call = "gather_binomial"
    check_root(comm, call, root)
    size = comm.size
    me = (comm.rank - root) % size  # ranks are counted from the root
    if comm.rank == root:
        data, ends_by_rank = _of_root(comm, call, sendbuf, recvbuf, counts)
        own = data[ends_by_rank[root] : ends_by_rank[root + 1]]
    else:
        own = flat(comm, call, sendbuf, "sendbuf")
        ends_by_rank = check_block(comm, call, "sendbuf", own, counts)
    ends = ends_from(ends_by_rank, root)
    below = 1  # ranks whose blocks come together here
    while below < size and not me & below:
        below *= 2
    first, last = ends[me], ends[min(me + below, size)]
    if comm.rank == root == 0:
        blocks = data  # they arrive in their places
    elif min(me + below, size) == me + 1:
        blocks = own  # nobody is below
    else:
        blocks = scratch(last - first, own.dtype)
        blocks[: own.size] = own
    mask = 1
    while mask < below:
        if me + mask < size:
            theirs = blocks[ends[me + mask] - first : ends[min(me + 2 * mask, size)] - first]
            receive(comm, theirs, (me + mask + root) % size, TAG)
        mask *= 2
    if me:
        comm.Send(blocks, (me - below + root) % size, TAG)
    elif blocks is not data:  # from root's order to that of the ranks
        split = ends_by_rank[size] - ends_by_rank[root]
        data[ends_by_rank[root] :] = blocks[:split]
        data[: ends_by_rank[root]] = blocks[split:]


def _of_root(comm, call, sendbuf, recvbuf, counts):
    """The root's flat recvbuf with its own block in place, and the ends of the blocks."""
    if recvbuf is None:
        raise usage_error(comm, call, "recvbuf is None at the root. Pass the buffer to gather into.")
    data = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    ends = ends_of(comm, call, counts, data.size)
    if sendbuf is not IN_PLACE:
        own = data[ends[comm.rank] : ends[comm.rank + 1]]
        send = flat(comm, call, sendbuf, "sendbuf")
        check_pair(comm, call, "sendbuf", send, "its block in recvbuf", own, memory=data)
        own[...] = send
    return data, ends
