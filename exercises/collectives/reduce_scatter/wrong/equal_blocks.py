"""The vector is cut into blocks of n // p elements, whatever counts says.

status: crashed
feedback: block k has counts[k] elements
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    block = sendbuf.size // size
    mine = sendbuf[rank * block : (rank + 1) * block].copy()
    theirs = np.empty_like(mine)
    for step in range(1, size):
        dest, source = (rank + step) % size, (rank - step) % size
        comm.Sendrecv(sendbuf[dest * block : (dest + 1) * block], dest, recvbuf=theirs, source=source)
        mine += theirs
    recvbuf[:] = mine
