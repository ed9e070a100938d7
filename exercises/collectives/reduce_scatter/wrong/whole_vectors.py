"""An all-reduce of whole vectors, of which every rank keeps its block.

status: over budget
feedback: more than is needed
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    m = 1 << (size.bit_length() - 1)
    start = sum(counts[:rank])
    total = sendbuf.copy()
    theirs = np.empty_like(total)
    if rank >= m:
        comm.Send(sendbuf, rank - m)
        comm.Recv(recvbuf, rank - m)
        return
    if rank + m < size:
        comm.Recv(theirs, rank + m)
        total += theirs
    distance = 1
    while distance < m:
        comm.Sendrecv(total, rank ^ distance, recvbuf=theirs, source=rank ^ distance)
        total += theirs
        distance *= 2
    recvbuf[:] = total[start : start + counts[rank]]
    if rank + m < size:
        start = sum(counts[: rank + m])
        comm.Send(total[start : start + counts[rank + m]], rank + m)
