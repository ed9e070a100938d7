"""Recursive doubling among m ranks, the largest power of two; the others are added before and told after."""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    num_acting = 1 << (size.bit_length() - 1)
    rest = size - num_acting
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    # The first 2 * rest ranks are pairs, of which the even one acts for both.
    is_pair = rank < 2 * rest
    if is_pair and rank % 2:
        comm.Send(recvbuf, rank - 1)
        comm.Recv(recvbuf, rank - 1)
        return
    if is_pair:
        comm.Recv(theirs, rank + 1)
        recvbuf += theirs
    number = rank // 2 if is_pair else rank - rest  # among those who act
    distance = 1
    while distance < num_acting:
        # recvbuf is the sum of a group of ``distance`` acting ranks; the partner is in the group beside it.
        other = number ^ distance
        partner = 2 * other if other < rest else other + rest
        comm.Sendrecv(recvbuf, partner, recvbuf=theirs, source=partner)
        recvbuf += theirs
        distance *= 2
    if is_pair:
        comm.Send(recvbuf, rank + 1)
