"""Patterns that get stuck, each with its cure: everybody passes an array on to the right.

::

    0 --> 1 --> 2 --> ... --> p-1 --> 0        rank r sends to r+1 and receives from r-1

A pattern is safe if it works whatever the size of the message and whatever the library does: then it also
works with every Send replaced by Ssend. All functions fill ``recvbuf`` with the left neighbour's ``sendbuf``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from labkit.mpi.arguments import check_buffer_pair, check_count
from labkit.mpi.requests import wait_all

TAG = 7


def ring_shift_unsafe(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Everybody sends, then receives: works while messages are eager, stops at the first that is not.

    Every Send may wait for a receive that its neighbour has not come to. The test with small messages
    passes; the real problem, with larger ones, hangs. Cure: :func:`ring_shift_sendrecv`.
    """
    left, right = _neighbours(comm, "ring_shift_unsafe", sendbuf, recvbuf)
    comm.Send(sendbuf, right, TAG)
    comm.Recv(recvbuf, left, TAG)


def ring_shift_receive_first(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Everybody receives, then sends: always stuck, for nobody comes to the send.

    Cure: :func:`ring_shift_nonblocking`, which posts the receive first and does not wait for it.
    """
    left, right = _neighbours(comm, "ring_shift_receive_first", sendbuf, recvbuf)
    comm.Recv(recvbuf, left, TAG)
    comm.Send(sendbuf, right, TAG)


def ring_shift_tag_mismatch(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Everybody tags with its own rank, and expects that same tag: stuck with 2 ranks or more.

    The messages have arrived and nobody takes them. Cure: :func:`ring_shift_sender_tag`.
    """
    left, right = _neighbours(comm, "ring_shift_tag_mismatch", sendbuf, recvbuf)
    comm.Sendrecv(sendbuf, right, comm.rank, recvbuf, left, comm.rank)


def ring_shift_missing_partner(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """The last rank sends to nobody, yet rank 0 waits for it: rank 0 is stuck, the others finish.

    The program ends on p - 1 ranks and hangs on one. Cure, if the ends are meant to be open:
    :func:`open_chain_shift`.
    """
    left, right = _neighbours(comm, "ring_shift_missing_partner", sendbuf, recvbuf)
    requests = [comm.Irecv(recvbuf, left, TAG)]
    if comm.rank < comm.size - 1:
        requests.append(comm.Isend(sendbuf, right, TAG))
    wait_all(requests)


def ring_shift_sendrecv(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """One call that sends and receives: MPI lets neither half wait for the other. The usual cure."""
    left, right = _neighbours(comm, "ring_shift_sendrecv", sendbuf, recvbuf)
    comm.Sendrecv(sendbuf, right, TAG, recvbuf, left, TAG)


def ring_shift_odd_even(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Even ranks send first, odd ranks receive first: blocking calls, in an order that fits.

    With an odd number of ranks two even ones are neighbours, p-1 and 0: rank 0 is free to receive as soon
    as rank 1 took its message, so the chain dissolves; that costs a third step.
    """
    left, right = _neighbours(comm, "ring_shift_odd_even", sendbuf, recvbuf)
    if comm.size == 1:  # no odd rank that could receive
        recvbuf[...] = sendbuf
    elif comm.rank % 2 == 0:
        comm.Send(sendbuf, right, TAG)
        comm.Recv(recvbuf, left, TAG)
    else:
        comm.Recv(recvbuf, left, TAG)
        comm.Send(sendbuf, right, TAG)


def ring_shift_nonblocking(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Post the receive, start the send, then wait for both; between start and wait one may compute."""
    left, right = _neighbours(comm, "ring_shift_nonblocking", sendbuf, recvbuf)
    wait_all([comm.Irecv(recvbuf, left, TAG), comm.Isend(sendbuf, right, TAG)])


def ring_shift_persistent(comm, sendbuf: np.ndarray, recvbuf: np.ndarray, num_shifts: int = 1) -> None:
    """Shift ``num_shifts`` times with two requests that are made once and started again and again.

    Afterwards ``recvbuf`` holds the ``sendbuf`` of rank ``r - num_shifts``. Chosen for loops that send the
    same way each time: arguments are checked and partners looked up once.

    Raises
    ------
    UsageError
        Buffers that differ or share memory; ``num_shifts`` below 0.
    """
    left, right = _neighbours(comm, "ring_shift_persistent", sendbuf, recvbuf)
    num_shifts = check_count(comm, "ring_shift_persistent", "num_shifts", num_shifts)
    outgoing = sendbuf.copy()  # the request keeps its buffer, and sendbuf belongs to the caller
    recvbuf[...] = sendbuf
    requests = [comm.Recv_init(recvbuf, left, TAG), comm.Send_init(outgoing, right, TAG)]
    try:
        for _ in range(num_shifts):
            for request in requests:
                request.Start()
            wait_all(requests)
            outgoing[...] = recvbuf
    finally:
        for request in requests:
            request.Free()


def ring_shift_sender_tag(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """Everybody tags with its own rank and expects the tag of the one it receives from."""
    left, right = _neighbours(comm, "ring_shift_sender_tag", sendbuf, recvbuf)
    comm.Sendrecv(sendbuf, right, comm.rank, recvbuf, left, left)


def open_chain_shift(comm, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
    """A shift without the way back: the ends talk to ``PROC_NULL``, so no rank is a special case.

    ``recvbuf`` of rank 0 is left as it was.
    """
    from mpi4py import MPI

    left, right = _neighbours(comm, "open_chain_shift", sendbuf, recvbuf)
    source = left if comm.rank > 0 else MPI.PROC_NULL
    dest = right if comm.rank < comm.size - 1 else MPI.PROC_NULL
    comm.Sendrecv(sendbuf, dest, TAG, recvbuf, source, TAG)


class Pattern(NamedTuple):
    """A pattern of the catalogue: ``function(comm, sendbuf, recvbuf)``, and what to write instead."""

    name: str
    function: Callable
    is_safe: bool
    cure: Callable | None = None


PATTERNS = (
    Pattern("all send first", ring_shift_unsafe, False, ring_shift_sendrecv),
    Pattern("all receive first", ring_shift_receive_first, False, ring_shift_nonblocking),
    Pattern("tags do not match", ring_shift_tag_mismatch, False, ring_shift_sender_tag),
    Pattern("partner missing", ring_shift_missing_partner, False, open_chain_shift),
    Pattern("send and receive in one call", ring_shift_sendrecv, True),
    Pattern("odd and even take turns", ring_shift_odd_even, True),
    Pattern("nonblocking", ring_shift_nonblocking, True),
    Pattern("persistent requests", ring_shift_persistent, True),
    Pattern("tag of the sender", ring_shift_sender_tag, True),
    Pattern("open chain", open_chain_shift, True),
)


def _neighbours(comm, call: str, sendbuf, recvbuf) -> tuple[int, int]:
    """(left, right) on the ring, after a look at the buffers."""
    check_buffer_pair(comm, call, sendbuf, recvbuf)
    return (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
