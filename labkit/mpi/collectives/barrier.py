"""Barriers: no rank leaves before all have come. Messages are empty.

References
----------
Mellor-Crummey, Scott: Algorithms for scalable synchronization on shared-memory multiprocessors,
ACM TOCS 9(1), 1991. Hensgen, Finkel, Manber: Two algorithms for barrier synchronization, IJPP 17(1), 1988.
"""

from __future__ import annotations

from labkit.mpi.collectives.arguments import EMPTY

TAG = 1


def barrier_central(comm) -> None:
    """Everybody tells rank 0, and rank 0 tells everybody.

    The simplest, and the slowest: rank 0 handles 2 (p - 1) messages one after the other.

    Notes
    -----
    2 (p - 1) rounds, 2 (p - 1) messages.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> simulate(5, barrier_central).counts.num_rounds
    8
    """
    if comm.rank == 0:
        for rank in range(1, comm.size):
            comm.Recv(EMPTY, rank, TAG)
        for rank in range(1, comm.size):
            comm.Send(EMPTY, rank, TAG)
    else:
        comm.Send(EMPTY, 0, TAG)
        comm.Recv(EMPTY, 0, TAG)


def barrier_tree(comm) -> None:
    """A binomial tree collects the news that all have come, and the same tree spreads it.

    Notes
    -----
    2 ceil(lg p) rounds, 2 (p - 1) messages.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> simulate(5, barrier_tree).counts.num_rounds
    6
    """
    rank, size = comm.rank, comm.size
    mask = 1
    while mask < size and not rank & mask:  # children: rank + 1, rank + 2, rank + 4, ...
        if rank + mask < size:
            comm.Recv(EMPTY, rank + mask, TAG)
        mask *= 2
    if rank:
        comm.Send(EMPTY, rank - mask, TAG)
        comm.Recv(EMPTY, rank - mask, TAG)
    while (mask := mask // 2) >= 1:
        if rank + mask < size:
            comm.Send(EMPTY, rank + mask, TAG)


def barrier_dissemination(comm) -> None:
    """In round k, tell the rank 2^k further on: after ceil(lg p) rounds everybody has heard of everybody.

    The usual choice: half the rounds of the tree, at the price of more messages.

    Notes
    -----
    ceil(lg p) rounds, p ceil(lg p) messages.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> simulate(5, barrier_dissemination).counts.num_rounds
    3
    """
    distance = 1
    while distance < comm.size:
        to, source = (comm.rank + distance) % comm.size, (comm.rank - distance) % comm.size
        comm.Sendrecv(EMPTY, to, TAG, EMPTY, source, TAG)
        distance *= 2
