"""The partner is rank ^ distance, for every p.

status: crashed
feedback: there is no such rank
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < comm.size:
        partner = comm.rank ^ distance
        comm.Sendrecv(recvbuf, partner, recvbuf=theirs, source=partner)
        recvbuf += theirs
        distance *= 2
