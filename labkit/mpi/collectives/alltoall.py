"""All-to-alls: block k of every rank goes to rank k. Both buffers have n elements, p equal blocks.

``sendbuf`` may be MPI.IN_PLACE: the blocks in ``recvbuf`` are replaced.

References
----------
Thakur, Rabenseifner, Gropp 2005, section 4.3. Bruck et al. 1997.
"""

from __future__ import annotations

import numpy as np

from labkit.mpi.collectives.arguments import IN_PLACE, check_pair, ends_of, flat
from labkit.mpi.collectives.messages import exchange, wait_received
from labkit.mpi.collectives.scratch import scratch, scratch_copy, scratch_like
from labkit.mpi.requests import wait_all

TAG = 9


def alltoall_linear(comm, sendbuf, recvbuf) -> None:
    """Start all sends and receives at once and let the network sort them out.

    Parameters
    ----------
    comm : communicator
    sendbuf : array, n elements, or MPI.IN_PLACE
    recvbuf : array, n elements

    Raises
    ------
    UsageError
        Sizes or types differ, n is no multiple of p, or a buffer is no contiguous array.

    Notes
    -----
    p - 1 rounds of n / p bytes.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     got = np.empty(comm.size, int)
    ...     alltoall_linear(comm, np.arange(comm.size) + 10 * comm.rank, got)
    ...     return got.tolist()
    >>> simulate(3, program).results
    [[0, 10, 20], [1, 11, 21], [2, 12, 22]]
    """
    send, recv, ends = _prepared(comm, "alltoall_linear", sendbuf, recvbuf)
    rank, size = comm.rank, comm.size
    sources = [(rank - step) % size for step in range(1, size)]
    dests = [(rank + step) % size for step in range(1, size)]
    rooms = [recv[ends[source] : ends[source + 1]] for source in sources]
    receives = [comm.Irecv(room, source, TAG) for room, source in zip(rooms, sources, strict=True)]
    sends = [comm.Isend(send[ends[dest] : ends[dest + 1]], dest, TAG) for dest in dests]
    recv[ends[rank] : ends[rank + 1]] = send[ends[rank] : ends[rank + 1]]
    wait_received(comm, receives, rooms)
    wait_all(sends)


def alltoall_pairwise(comm, sendbuf, recvbuf) -> None:
    """In round k, send to the rank k further on and receive from the rank k back.

    The choice for long blocks: nobody gets two messages at a time. Parameters and errors as
    :func:`alltoall_linear`.

    Notes
    -----
    p - 1 rounds of n / p bytes.
    """
    send, recv, ends = _prepared(comm, "alltoall_pairwise", sendbuf, recvbuf)
    rank, size = comm.rank, comm.size
    recv[ends[rank] : ends[rank + 1]] = send[ends[rank] : ends[rank + 1]]
    for step in range(1, size):
        dest, source = (rank + step) % size, (rank - step) % size
        exchange(comm, send[ends[dest] : ends[dest + 1]], dest, recv[ends[source] : ends[source + 1]], source, TAG)


def alltoall_bruck(comm, sendbuf, recvbuf) -> None:
    """A block that has k ranks to go travels by the binary digits of k, together with others on its way.

    The choice for short blocks: few rounds, at the price of sending blocks several times. Parameters and
    errors as :func:`alltoall_linear`.

    Notes
    -----
    ceil(lg p) rounds, about (n / 2) lg p bytes: in round k, the blocks whose distance has the digit 2^k.
    """
    send, recv, _ = _prepared(comm, "alltoall_bruck", sendbuf, recvbuf)
    rank, size, block = comm.rank, comm.size, send.size // comm.size
    # Row k has k ranks to go.
    blocks = np.concatenate([send[rank * block :], send[: rank * block]], out=scratch_like(send)).reshape(size, block)
    digit = 1
    while digit < size:
        rows = [k for k in range(size) if k & digit]
        leaving, arriving = (scratch(len(rows) * block, send.dtype).reshape(len(rows), block) for _ in range(2))
        np.take(blocks, rows, axis=0, out=leaving, mode="clip")  # "raise" would make one more copy
        exchange(comm, leaving, (rank + digit) % size, arriving, (rank - digit) % size, TAG)
        blocks[rows] = arriving
        digit *= 2
    # Row k has come from the rank k back.
    recv.reshape(size, -1)[[(rank - k) % size for k in range(size)]] = blocks


def _prepared(comm, call, sendbuf, recvbuf):
    recv = flat(comm, call, recvbuf, "recvbuf", is_filled=True)
    ends = ends_of(comm, call, None, recv.size)
    if sendbuf is IN_PLACE:
        return scratch_copy(recv), recv, ends
    send = flat(comm, call, sendbuf, "sendbuf")
    check_pair(comm, call, "sendbuf", send, "recvbuf", recv)
    return send, recv, ends
