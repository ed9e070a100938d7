"""The result lacks the own matrix, as that of Exscan does.

status: incorrect
feedback: the own matrix is missing
"""

import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    total = sendbuf.copy()
    theirs = np.empty_like(total)
    before = None
    distance = 1
    while distance < size:
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        comm.Sendrecv(total, dest, recvbuf=theirs, source=source)
        if source != MPI.PROC_NULL:
            before = theirs.copy() if before is None else theirs @ before
            total = theirs @ total
        distance *= 2
    recvbuf[...] = sendbuf if size == 1 else recvbuf if before is None else before
