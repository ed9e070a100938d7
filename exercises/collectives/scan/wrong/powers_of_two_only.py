"""The number of rounds is rounded down.

status: incorrect
feedback: a round is missing
"""

from math import log2

import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[...] = sendbuf
    theirs = np.empty_like(recvbuf)
    for k in range(int(log2(size))):
        distance = 2**k
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        comm.Sendrecv(recvbuf, dest, recvbuf=theirs, source=source)
        if source != MPI.PROC_NULL:
            recvbuf[...] = theirs @ recvbuf
