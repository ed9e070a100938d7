"""All-reduces around a ring: the vector in blocks, segments or chunks. Buffers as in :mod:`.allreduce`.

References
----------
Patarasuk, Yuan: Bandwidth optimal all-reduce algorithms for clusters of workstations, JPDC 69, 2009.
NVIDIA, NCCL 2.x (chunks).
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import reduce_local
from labkit.mpi.arguments import check_count
from labkit.mpi.collectives.allgather import allgather_blocks_ring
from labkit.mpi.collectives.arguments import block_ends, own_copy
from labkit.mpi.collectives.messages import receive, wait_received
from labkit.mpi.collectives.reduce_scatter import reduce_scatter_blocks_ring
from labkit.mpi.collectives.scratch import scratch
from labkit.mpi.requests import wait_all

TAG = 8
SEGMENT_BYTES = 65536
CHUNK_BYTES = 1 << 19  # with what it is added to, in the second-level cache of most cores


def allreduce_ring(comm, sendbuf, recvbuf, *, op=MPI.SUM) -> None:
    """Reduce-scatter around a ring, then all-gather around the same ring.

    The choice for long vectors and few ranks: no algorithm sends fewer bytes. Parameters and errors as
    :func:`.allreduce_reduce_broadcast`; the operation must commute.

    Notes
    -----
    2 (p - 1) rounds, 2 n (p - 1) / p bytes, n (p - 1) / p combined. Bitwise equal on all ranks: each block
    is computed once and then copied; but the order of the operands differs from block to block.
    """
    data = own_copy(comm, "allreduce_ring", sendbuf, recvbuf, op, must_commute=True)
    ends = block_ends(data.size, comm.size)
    mine = (comm.rank + 1) % comm.size  # the block that is complete here after the first lap
    reduce_scatter_blocks_ring(comm, data, ends, op, mine, data[ends[mine] : ends[mine + 1]])
    allgather_blocks_ring(comm, data, ends, mine)


def allreduce_chunked_ring(comm, sendbuf, recvbuf, *, op=MPI.SUM, chunk_bytes: int = CHUNK_BYTES) -> None:
    """The ring with blocks in chunks, all into one room: each is combined while the cache still holds it.

    For vectors that do not fit into the cache. Parameters, errors and result as :func:`allreduce_ring`.

    Parameters
    ----------
    chunk_bytes : int
        At least 1; a chunk has at least one element.

    Notes
    -----
    (p - 1) (C + 1) rounds with C chunks a block, 2 n (p - 1) / p bytes, n (p - 1) / p combined.
    """
    call = "allreduce_chunked_ring"
    chunk_bytes = check_count(comm, call, "chunk_bytes", chunk_bytes, 1)
    data = own_copy(comm, call, sendbuf, recvbuf, op, must_commute=True)
    size = comm.size
    ends = block_ends(data.size, size)
    length = max(1, chunk_bytes // data.itemsize)
    right, left = (comm.rank + 1) % size, (comm.rank - 1) % size
    room = scratch(min(length, ends[1]), data.dtype)  # the first block is the longest
    for step in range(size - 1):
        out = _segments(data, ends, (comm.rank - step) % size, length)
        sending = [comm.Isend(chunk, right, TAG) for chunk in out]
        for mine in _segments(data, ends, (comm.rank - step - 1) % size, length):
            arriving = room[: mine.size]
            receive(comm, arriving, left, TAG)
            reduce_local(comm, arriving, mine, op)
        wait_all(sending)
    allgather_blocks_ring(comm, data, ends, right)


def allreduce_segmented_ring(comm, sendbuf, recvbuf, *, op=MPI.SUM, segment_bytes: int = SEGMENT_BYTES) -> None:
    """The ring with blocks in segments: while one segment is combined, the next one is on its way.

    For very long vectors, where combining takes about as long as sending. Parameters, errors and result
    as :func:`allreduce_ring`.

    Parameters
    ----------
    segment_bytes : int
        At least 1; a segment has at least one element.

    Notes
    -----
    (p - 1) (S + 1) rounds with S segments a block, 2 n (p - 1) / p bytes.
    """
    call = "allreduce_segmented_ring"
    segment_bytes = check_count(comm, call, "segment_bytes", segment_bytes, 1)
    data = own_copy(comm, call, sendbuf, recvbuf, op, must_commute=True)
    size = comm.size
    ends = block_ends(data.size, size)
    length = max(1, segment_bytes // data.itemsize)
    right, left = (comm.rank + 1) % size, (comm.rank - 1) % size
    room = [scratch(length, data.dtype), scratch(length, data.dtype)]
    for step in range(size - 1):
        out = _segments(data, ends, (comm.rank - step) % size, length)
        into = _segments(data, ends, (comm.rank - step - 1) % size, length)
        arriving = room[0][: into[0].size]
        receiving = comm.Irecv(arriving, left, TAG)
        sending = [comm.Isend(segment, right, TAG) for segment in out]
        for number, mine in enumerate(into):
            wait_received(comm, [receiving], [arriving])
            theirs = arriving
            if number + 1 < len(into):  # into the other half of the room
                arriving = room[(number + 1) % 2][: into[number + 1].size]
                receiving = comm.Irecv(arriving, left, TAG)
            reduce_local(comm, theirs, mine, op)
        wait_all(sending)
    allgather_blocks_ring(comm, data, ends, right)


def _segments(data, ends, block: int, length: int) -> list[np.ndarray]:
    """A block in pieces of ``length`` elements; as many for every block, so that all ranks agree."""
    starts = range(ends[block], ends[block] + max(ends[1], 1), length)  # the first block is the longest
    return [data[min(s, ends[block + 1]) : min(s + length, ends[block + 1])] for s in starts]
