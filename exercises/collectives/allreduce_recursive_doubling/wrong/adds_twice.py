"""Sums travel around a circle at distances 1, 2, 4, ..., and overlap.

status: incorrect
feedback: added twice
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < size:
        comm.Sendrecv(recvbuf, (rank + distance) % size, recvbuf=theirs, source=(rank - distance) % size)
        recvbuf += theirs
        distance *= 2
