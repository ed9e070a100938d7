"""Every rank sends before it receives.

status: deadlocked
feedback: every rank sends before it receives
"""

import numpy as np


def allgather_bruck(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    found = np.empty((size, sendbuf.size), sendbuf.dtype)  # row k is the block of rank + k
    found[0] = sendbuf
    have = 1
    while have < size:
        num = min(have, size - have)  # in the last round, only what is lacking
        comm.Send(found[:num], (rank - have) % size)
        comm.Recv(found[have : have + num], (rank + have) % size)
        have += num
    recvbuf[:] = np.roll(found, rank, axis=0).reshape(-1)
