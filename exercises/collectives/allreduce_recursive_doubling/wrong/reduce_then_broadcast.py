"""A tree collects the sum at rank 0, and the same tree spreads it.

status: over budget
feedback: a reduction to one rank and a broadcast
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < size and not rank & distance:
        if rank + distance < size:
            comm.Recv(theirs, rank + distance)
            recvbuf += theirs
        distance *= 2
    if rank:
        comm.Send(recvbuf, rank - distance)
        comm.Recv(recvbuf, rank - distance)
    while distance > 1:
        distance //= 2
        if rank + distance < size:
            comm.Send(recvbuf, rank + distance)
