"""The product is made in the caller's sendbuf.

status: incorrect
feedback: sendbuf has changed
"""

import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    theirs = np.empty_like(sendbuf)
    distance = 1
    while distance < size:
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        comm.Sendrecv(sendbuf, dest, recvbuf=theirs, source=source)
        if source != MPI.PROC_NULL:
            sendbuf[...] = theirs @ sendbuf
        distance *= 2
    recvbuf[...] = sendbuf
