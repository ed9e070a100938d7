"""How long the four ways of sending block while the receiver is late.

::

    rank 0   note, Send ........ returns at once (eager), or at t >= delay (rendezvous)
    rank 1   note | sleeps delay_s ........ | Recv

Eager: the message is copied to where the receiver will look, and Send returns. Rendezvous: Send waits for
the receive, then the data moves once. MPI promises neither: a program that needs one of them is wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.mpi.arguments import check_count, check_num_ranks, check_seconds
from labkit.mpi.clock import wall_time
from labkit.mpi.requests import wait_all

NOTE_TAG, DATA_TAG = 1, 2


@dataclass(frozen=True, slots=True)
class SendModeTimes:
    """Seconds that each way of sending ``num_bytes`` blocked while the receive came ``delay_s`` late.

    ``isend_s`` is the call alone, ``isend_wait_s`` the wait after it. ``bsend_s`` is NaN where the
    communicator has no ``Bsend``.
    """

    num_bytes: int
    delay_s: float
    send_s: float
    ssend_s: float
    isend_s: float
    isend_wait_s: float
    bsend_s: float

    @property
    def send_was_eager(self) -> bool:
        """Whether Send returned before the receive was posted."""
        return self.send_s < self.delay_s


def time_send_modes(
    comm,
    num_bytes: int,
    delay_s: float,
    *,
    clock: Callable[[], float] = wall_time,
    sleep: Callable[[float], None] | None = None,
) -> SendModeTimes:
    """How long Send, Ssend, Isend with its wait, and Bsend block rank 0 while rank 1 is late.

    Ssend always waits for the receive. Isend and Bsend never do; Bsend because a copy goes to the buffer
    that the program attached. Send does what the library finds faster for this size.

    Parameters
    ----------
    comm : Communicator
        At least 2 ranks; all of them call. No buffer for Bsend may be attached.
    num_bytes : int
        Bytes of the message, 0 or more.
    delay_s : float
        Rank 1 sleeps so long before it posts its receive.
    clock : callable
        Returns seconds.
    sleep : callable, optional
        Passes seconds without calling MPI. Default: the rank sleeps; on a simulated rank virtual time passes.

    Returns
    -------
    SendModeTimes
        Bitwise equal on all ranks.

    Raises
    ------
    UsageError
        Fewer than 2 ranks; a size or time that is none.

    Notes
    -----
    8 messages, 4 barriers. The sleep starts after a note of rank 0 has arrived, and rank 0 reads its clock before it
    sends the note. So a call that waits for the receive takes at least ``delay_s``, on a busy machine too.

    References
    ----------
    MPI: A Message-Passing Interface Standard 4.1, section 3.4, Communication Modes.
    """
    check_num_ranks(comm, "time_send_modes", 2)
    num_bytes = check_count(comm, "time_send_modes", "num_bytes", num_bytes)
    delay_s = check_seconds(comm, "time_send_modes", "delay_s", delay_s)
    data, seconds = np.zeros(num_bytes, np.uint8), np.full(5, math.nan)
    seconds[0] = _late_receive(comm, data, delay_s, comm.Send, clock, sleep)[0]
    seconds[1] = _late_receive(comm, data, delay_s, comm.Ssend, clock, sleep)[0]
    seconds[2:4] = _late_receive(comm, data, delay_s, comm.Isend, clock, sleep)
    if hasattr(comm, "Bsend"):
        seconds[4] = _with_attached_buffer(
            comm, num_bytes, lambda: _late_receive(comm, data, delay_s, comm.Bsend, clock, sleep)[0]
        )
    comm.Bcast(seconds, root=0)
    return SendModeTimes(num_bytes, delay_s, *seconds.tolist())


def _late_receive(comm, data, delay_s, send, clock, sleep) -> tuple[float, float]:
    """Seconds of the call ``send`` and of the wait after it on rank 0; rank 1 receives late."""
    note = np.zeros(0, np.uint8)
    comm.Barrier()  # after an eager Send rank 0 is here early: rank 1 may still sleep for that one
    if comm.rank == 0:
        start = clock()
        note_request = comm.Isend(note, 1, NOTE_TAG)
        request = send(data, 1, DATA_TAG)
        returned = clock()
        if request is not None:
            wait_all([request])
        complete = clock()
        wait_all([note_request])
        return returned - start, complete - returned
    if comm.rank == 1:
        comm.Recv(note, 0, NOTE_TAG)
        (sleep or getattr(comm, "charge_compute", None) or time.sleep)(delay_s)
        comm.Recv(data, 0, DATA_TAG)
    return 0.0, 0.0


def _with_attached_buffer(comm, num_bytes, action):
    """Run ``action`` while rank 0 has a buffer for one Bsend of ``num_bytes``."""
    if comm.rank != 0:
        return action()
    from mpi4py import MPI

    MPI.Attach_buffer(np.empty(num_bytes + MPI.BSEND_OVERHEAD, np.uint8))
    try:
        return action()
    finally:
        MPI.Detach_buffer()  # waits until the message has left it


def find_eager_limit(
    comm,
    max_bytes: int,
    *,
    delay_s: float = 0.05,
    repeats: int = 3,
    clock: Callable[[], float] = wall_time,
    sleep: Callable[[float], None] | None = None,
) -> int | None:
    """The largest message, up to ``max_bytes``, whose Send returns before the receive is posted.

    By bisection, which takes for granted that below the limit everything is eager and above it nothing.

    Parameters
    ----------
    comm : Communicator
        At least 2 ranks; all of them call.
    max_bytes : int
        Where to stop looking.
    delay_s : float
        How late the receive is. It must be longer than an eager Send takes.
    repeats : int
        A size counts as eager if one of so many Sends returned early.
    clock, sleep : callable, optional
        As in :func:`time_send_modes`.

    Returns
    -------
    int or None
        Bytes, equal on all ranks; ``max_bytes`` means "that or more", None that even an empty message waits.

    Raises
    ------
    UsageError
        Fewer than 2 ranks; a size, time or count that is none.

    Notes
    -----
    About log2(max_bytes) sizes, each up to ``repeats * delay_s`` long. A Send that waits cannot look
    eager (see :func:`time_send_modes`); an eager one can look slow if rank 0 was kept from running for
    ``delay_s``, hence the repeats.
    """
    call = "find_eager_limit"
    check_num_ranks(comm, call, 2)
    max_bytes = check_count(comm, call, "max_bytes", max_bytes)
    repeats = check_count(comm, call, "repeats", repeats, 1)
    delay_s = check_seconds(comm, call, "delay_s", delay_s)

    def returns_early(num_bytes: int) -> bool:
        data, early = np.zeros(num_bytes, np.uint8), np.zeros(1, np.uint8)
        for _ in range(repeats):
            blocked_s, _ = _late_receive(comm, data, delay_s, comm.Send, clock, sleep)
            early[0] = blocked_s < delay_s
            comm.Bcast(early, root=0)  # every rank takes the same turn
            if early[0]:
                return True
        return False

    if returns_early(max_bytes):
        return max_bytes
    if max_bytes == 0 or not returns_early(0):
        return None
    eager, waits = 0, max_bytes  # Send of `eager` bytes returns early, of `waits` bytes not
    while waits - eager > 1:
        middle = (eager + waits) // 2
        if returns_early(middle):
            eager = middle
        else:
            waits = middle
    return eager
