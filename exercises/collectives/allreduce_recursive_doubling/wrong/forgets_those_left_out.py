"""The ranks beyond a power of two give their vectors away, and hear nothing more.

status: incorrect
feedback: never get the result
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    m = 1 << (size.bit_length() - 1)
    recvbuf[:] = sendbuf
    if rank >= m:
        comm.Send(recvbuf, rank - m)
        return
    theirs = np.empty_like(recvbuf)
    if rank + m < size:
        comm.Recv(theirs, rank + m)
        recvbuf += theirs
    distance = 1
    while distance < m:
        comm.Sendrecv(recvbuf, rank ^ distance, recvbuf=theirs, source=rank ^ distance)
        recvbuf += theirs
        distance *= 2
