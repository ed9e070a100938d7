"""Partners that do not exist are left out.

status: incorrect
feedback: powers of two only
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    distance = 1
    while distance < comm.size:
        partner = comm.rank ^ distance
        if partner < comm.size:
            comm.Sendrecv(recvbuf, partner, recvbuf=theirs, source=partner)
            recvbuf += theirs
        distance *= 2
