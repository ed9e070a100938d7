"""How much of a transfer hides behind computing.

::

    one after the other   |== communicate ==|=== compute ===|
    overlapped            |= start =|=== compute ===|= wait =|      what Wait still costs was not hidden

Nonblocking calls allow overlap and do not promise it: many libraries move a message only while the program
is inside MPI. Then nothing is hidden, unless the program looks in now and then (``num_polls``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from labkit.mpi.arguments import check_count, check_num_ranks, check_seconds
from labkit.mpi.clock import wall_time
from labkit.mpi.requests import wait_all

TAG = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """Seconds of communicating alone, computing alone, and both overlapped, on one rank."""

    num_bytes: int
    communicate_s: float
    compute_s: float
    both_s: float

    @property
    def share_hidden(self) -> float:
        """The share of the communication that cost nothing beside the computing, 0 to 1.

        Examples
        --------
        >>> Overlap(8, 2.0, 3.0, 3.0).share_hidden, Overlap(8, 2.0, 3.0, 5.0).share_hidden
        (1.0, 0.0)
        """
        if self.communicate_s <= 0:
            return 0.0
        return min(1.0, max(0.0, (self.communicate_s + self.compute_s - self.both_s) / self.communicate_s))


def measure_overlap(
    comm,
    num_bytes: int,
    compute_s: float,
    compute: Callable[[float], object],
    *,
    num_polls: int = 0,
    repeats: int = 5,
    clock: Callable[[], float] = wall_time,
) -> Overlap:
    """Time a ring exchange alone, computing alone, and the computing between start and wait of the exchange.

    Parameters
    ----------
    comm : Communicator
        At least 2 ranks; all of them call. Each sends to its right and receives from its left neighbour.
    num_bytes : int
        Bytes of each message.
    compute_s : float
        How long to compute. At least as long as the exchange, or not all of it can be hidden.
    compute : callable
        ``compute(seconds)`` works for about so long, without MPI.
    num_polls : int
        The overlapped computing is cut into ``num_polls + 1`` equal parts, with an ``Iprobe`` between two,
        in which the library may move messages.
    repeats : int
        Each time is the median of so many, taken in turns.
    clock : callable
        Returns seconds.

    Returns
    -------
    Overlap
        This rank's own times.

    Raises
    ------
    UsageError
        Fewer than 2 ranks; a size, time or count that is none.

    Notes
    -----
    ``2 * repeats`` messages and ``3 * repeats`` barriers a rank. With more ranks than cores the ranks take
    computing time from each other, and the share says nothing. Between ranks of one machine the cores move the
    data themselves, so next to nothing hides; a network card can carry it while the core computes.

    References
    ----------
    D. K. Panda et al., OSU Micro-Benchmarks, the overlap of nonblocking operations:
    ``1 - (both - compute) / communicate``.
    """
    call = "measure_overlap"
    check_num_ranks(comm, call, 2)
    num_bytes = check_count(comm, call, "num_bytes", num_bytes)
    compute_s = check_seconds(comm, call, "compute_s", compute_s)
    num_polls, repeats = check_count(comm, call, "num_polls", num_polls), check_count(comm, call, "repeats", repeats, 1)
    # Filled: memory that was never written is one page of zeros, read from the cache.
    sendbuf, recvbuf = np.ones(num_bytes, np.uint8), np.ones(num_bytes, np.uint8)
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size

    def start_exchange():
        return [comm.Irecv(recvbuf, left, TAG), comm.Isend(sendbuf, right, TAG)]

    def compute_in_parts():
        for part in range(num_polls + 1):
            if part:
                comm.Iprobe(left, TAG)  # its answer does not matter: MPI gets its turn
            compute(compute_s / (num_polls + 1))

    def overlapped():
        requests = start_exchange()
        compute_in_parts()
        wait_all(requests)

    actions = (lambda: wait_all(start_exchange()), lambda: compute(compute_s), overlapped)
    times = [[], [], []]
    for _ in range(repeats):
        for action, seconds in zip(actions, times, strict=True):
            comm.Barrier()
            start = clock()
            action()
            seconds.append(clock() - start)
    return Overlap(num_bytes, *(median(seconds) for seconds in times))
