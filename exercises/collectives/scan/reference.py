"""Recursive doubling: in each round, the product over twice as many ranks that end with this one."""

import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    recvbuf[...] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < size:
        # recvbuf is the product over ranks max(0, rank - distance + 1) to rank.
        dest = rank + distance if rank + distance < size else MPI.PROC_NULL
        source = rank - distance if rank >= distance else MPI.PROC_NULL
        comm.Sendrecv(recvbuf, dest, recvbuf=theirs, source=source)
        if source != MPI.PROC_NULL:
            recvbuf[...] = theirs @ recvbuf  # lower ranks stand on the left
        distance *= 2
