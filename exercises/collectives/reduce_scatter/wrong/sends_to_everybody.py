"""Every rank sends every other rank its block.

status: over budget
feedback: halving takes lg p
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    ends = [0, *np.cumsum(counts).tolist()]
    recvbuf[:] = sendbuf[ends[rank] : ends[rank + 1]]
    theirs = np.empty_like(recvbuf)
    for step in range(1, size):
        dest, source = (rank + step) % size, (rank - step) % size
        comm.Sendrecv(sendbuf[ends[dest] : ends[dest + 1]], dest, recvbuf=theirs, source=source)
        recvbuf += theirs
