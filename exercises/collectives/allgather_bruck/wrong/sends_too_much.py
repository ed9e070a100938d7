"""The last round sends all blocks, most of which the other rank has.

status: over budget
feedback: has already
"""

import numpy as np


def allgather_bruck(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    found = np.empty((2 * size, sendbuf.size), sendbuf.dtype)  # row k is the block of rank + k
    found[0] = sendbuf
    have = 1
    while have < size:
        num = have
        comm.Sendrecv(found[:num], (rank - have) % size, recvbuf=found[have : have + num], source=(rank + have) % size)
        have += num
    recvbuf[:] = np.roll(found[:size], rank, axis=0).reshape(-1)
