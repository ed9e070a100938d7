"""Both partners send before they receive.

status: deadlocked
feedback: both partners send first
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    m = 1 << (size.bit_length() - 1)
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    if rank >= m:
        comm.Send(recvbuf, rank - m)
        comm.Recv(recvbuf, rank - m)
        return
    if rank + m < size:
        comm.Recv(theirs, rank + m)
        recvbuf += theirs
    distance = 1
    while distance < m:
        comm.Send(recvbuf, rank ^ distance)
        comm.Recv(theirs, rank ^ distance)
        recvbuf += theirs
        distance *= 2
    if rank + m < size:
        comm.Send(recvbuf, rank + m)
