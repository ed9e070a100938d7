"""The ranks form a circle, so the first ranks get matrices of the last ones.

status: incorrect
feedback: do not form a circle
"""

import numpy as np


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[...] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < size:
        comm.Sendrecv(recvbuf, (rank + distance) % size, recvbuf=theirs, source=(rank - distance) % size)
        recvbuf[...] = theirs @ recvbuf
        distance *= 2
