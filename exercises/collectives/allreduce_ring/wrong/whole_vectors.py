"""Every vector travels around the ring in one piece, and everybody adds it.

status: over budget
feedback: whole vectors travel
"""

import numpy as np


def allreduce_ring(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[:] = sendbuf
    passing, theirs = sendbuf.copy(), np.empty_like(sendbuf)
    for _ in range(size - 1):
        comm.Sendrecv(passing, (rank + 1) % size, recvbuf=theirs, source=(rank - 1) % size)
        recvbuf += theirs
        passing, theirs = theirs, passing
