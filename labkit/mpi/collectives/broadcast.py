"""Broadcasts: the root's buffer to all ranks. ``buffer`` has n elements on every rank.

References
----------
Thakur, Rabenseifner, Gropp: Optimization of collective communication operations in MPICH, IJHPCA
19(1), 2005, section 4. Chan, Heimlich, Purkayastha, van de Geijn: Collective communication: theory,
practice, and experience, 2007.
"""

from __future__ import annotations

from labkit.mpi.arguments import check_count
from labkit.mpi.collectives.allgather import allgather_blocks_ring
from labkit.mpi.collectives.arguments import block_ends, check_root, flat
from labkit.mpi.collectives.messages import receive, wait_received
from labkit.mpi.collectives.scratch import scratch_copy
from labkit.mpi.collectives.shared_vectors import room_of
from labkit.mpi.requests import wait_all

TAG = 2
SEGMENT_BYTES = 65536


def broadcast_flat(comm, buffer, *, root: int = 0) -> None:
    """The root sends to one rank after the other.

    Parameters
    ----------
    comm : communicator
    buffer : array, n elements
        Read at the root, filled elsewhere.
    root : int

    Raises
    ------
    UsageError
        ``root`` is no rank, or ``buffer`` no contiguous array.

    Notes
    -----
    p - 1 rounds of n bytes: for very few ranks only.

    Examples
    --------
    >>> import numpy as np
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     buffer = np.arange(3) if comm.rank == 1 else np.zeros(3, int)
    ...     broadcast_flat(comm, buffer, root=1)
    ...     return buffer.tolist()
    >>> simulate(3, program).results
    [[0, 1, 2], [0, 1, 2], [0, 1, 2]]
    """
    data = _checked(comm, "broadcast_flat", buffer, root)
    if comm.rank == root:
        for step in range(1, comm.size):
            comm.Send(data, (root + step) % comm.size, TAG)
    else:
        receive(comm, data, root, TAG)


def broadcast_chain(comm, buffer, *, root: int = 0, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Ranks form a chain; the buffer goes along it in segments, one behind the other.

    For long buffers and few ranks: once the pipeline is full, every rank sends and receives at once.
    Parameters and errors as :func:`broadcast_flat`.

    Parameters
    ----------
    segment_bytes : int
        At least 1; a segment has at least one element.

    Notes
    -----
    p - 2 + S rounds of n / S bytes, with S segments.
    """
    call = "broadcast_chain"
    data = _checked(comm, call, buffer, root)
    segment_bytes = check_count(comm, call, "segment_bytes", segment_bytes, 1)
    position = (comm.rank - root) % comm.size  # in the chain
    before = (comm.rank - 1) % comm.size if position > 0 else None
    after = (comm.rank + 1) % comm.size if position < comm.size - 1 else None
    length = max(1, segment_bytes // data.itemsize)
    segments = [data[start : start + length] for start in range(0, data.size, length)] or [data]
    # The tag tells how many segments there are: ranks that disagree about it must not take a part for the whole.
    tag = TAG + 16 * (len(segments) % 2048)
    # The next segment may come in while this one goes out.
    receiving = comm.Irecv(segments[0], before, tag) if before is not None else None
    sending = []
    for number, segment in enumerate(segments):
        if before is not None:
            wait_received(comm, [receiving], [segment])
            if number + 1 < len(segments):
                receiving = comm.Irecv(segments[number + 1], before, tag)
        if after is not None:
            sending.append(comm.Isend(segment, after, tag))
    wait_all(sending)


def broadcast_binomial(comm, buffer, *, root: int = 0) -> None:
    """Who has the buffer passes it on: the number of ranks that have it doubles in each round.

    The choice for short buffers. Parameters and errors as :func:`broadcast_flat`.

    Notes
    -----
    ceil(lg p) rounds of n bytes.
    """
    data = _checked(comm, "broadcast_binomial", buffer, root)
    size = comm.size
    me = (comm.rank - root) % size  # ranks are counted from the root
    mask = 1
    while mask < size and not me & mask:
        mask *= 2
    if me:
        receive(comm, data, (me - mask + root) % size, TAG)
    while (mask := mask // 2) >= 1:
        if me + mask < size:
            comm.Send(data, (me + mask + root) % size, TAG)


def broadcast_scatter_allgather(comm, buffer, *, root: int = 0) -> None:
    """Scatter the buffer by a binomial tree, then all-gather the blocks around a ring.

    The choice for long buffers: the root sends them once, not lg p times (van de Geijn). Parameters
    and errors as :func:`broadcast_flat`.

    Notes
    -----
    ceil(lg p) + p - 1 rounds, 2 n (p - 1) / p bytes.
    """
    data = _checked(comm, "broadcast_scatter_allgather", buffer, root)
    if not data.flags.writeable:
        data = scratch_copy(data)  # the ring brings the root its own blocks, too
    size = comm.size
    ends = block_ends(data.size, size)  # block k goes to the k-th rank after the root
    me = (comm.rank - root) % size
    mask = 1
    while mask < size and not me & mask:
        mask *= 2
    if me:
        mine = data[ends[me] : ends[min(me + mask, size)]]  # blocks of me and of all below me in the tree
        receive(comm, mine, (me - mask + root) % size, TAG)
    while (mask := mask // 2) >= 1:
        if me + mask < size:
            theirs = data[ends[me + mask] : ends[min(me + 2 * mask, size)]]
            comm.Send(theirs, (me + mask + root) % size, TAG)
    allgather_blocks_ring(comm, data, ends, me)


def broadcast_shared_memory(comm, buffer, *, root: int = 0) -> None:
    """The root lays the buffer into the shared memory of the node, and all copy it from there.

    No messages, and all copy at once while the root fills the next piece: the choice for long buffers of more than two
    ranks. Parameters and errors as :func:`broadcast_flat`; all ranks are real ones on one node.

    Notes
    -----
    One barrier for each 2 MiB; the root copies n bytes in, each other rank n bytes out.
    """
    call = "broadcast_shared_memory"
    data = _checked(comm, call, buffer, root)
    # An all-gather in which all blocks but the root's are empty.
    ends = [0 if rank <= root else data.size for rank in range(comm.size + 1)]
    room_of(comm, call).show(comm, call, data, ends)


def _checked(comm, call, buffer, root):
    check_root(comm, call, root)
    return flat(comm, call, buffer, "buffer", is_filled=comm.rank != root)
