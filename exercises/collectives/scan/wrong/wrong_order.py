"""What arrives is multiplied on the right.

status: incorrect
feedback: wrong order
"""

import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[...] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < size:
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        comm.Sendrecv(recvbuf, dest, recvbuf=theirs, source=source)
        if source != MPI.PROC_NULL:
            recvbuf[...] = recvbuf @ theirs
        distance *= 2
