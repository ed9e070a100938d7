"""Everybody sends its vector to everybody else.

status: over budget
feedback: to every other rank
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    for step in range(1, size):
        comm.Sendrecv(sendbuf, (rank + step) % size, recvbuf=theirs, source=(rank - step) % size)
        recvbuf += theirs
