"""Every step sends the whole of recvbuf.

status: over budget
feedback: more than is needed
"""

import numpy as np


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    theirs = np.empty_like(recvbuf)
    for step in range(1, size):
        comm.Sendrecv(recvbuf, (rank + 1) % size, recvbuf=theirs, source=(rank - 1) % size)
        k = (rank - step) % size
        recvbuf[k * m : (k + 1) * m] = theirs[k * m : (k + 1) * m]
