"""Recursive doubling among all ranks, as if each had a port of its own.

status: over budget
feedback: at the one port of the node
"""

import numpy as np


def allreduce_hierarchical(comm, sendbuf, recvbuf, ranks_per_node):
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
        comm.Sendrecv(recvbuf, rank ^ distance, recvbuf=theirs, source=rank ^ distance)
        recvbuf += theirs
        distance *= 2
    if rank + m < size:
        comm.Send(recvbuf, rank + m)
