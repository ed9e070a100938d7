"""The rounds end with the last power of two up to p.

status: incorrect
feedback: the last round is missing
"""

import numpy as np


def allgather_bruck(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    found = np.zeros((size, sendbuf.size), sendbuf.dtype)  # row k is the block of rank + k
    found[0] = sendbuf
    have = 1
    while 2 * have <= size:
        num = min(have, size - have)  # in the last round, only what is lacking
        comm.Sendrecv(found[:num], (rank - have) % size, recvbuf=found[have : have + num], source=(rank + have) % size)
        have += num
    recvbuf[:] = np.roll(found, rank, axis=0).reshape(-1)
