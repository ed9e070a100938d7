"""Every round sends the own vector, not the sum so far.

status: incorrect
feedback: your own vector
"""

import numpy as np


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    m = 1 << (comm.size.bit_length() - 1)
    extra = comm.rank + m if comm.rank + m < comm.size else None
    if comm.rank >= m:
        comm.Send(sendbuf, comm.rank - m)
        comm.Recv(recvbuf, comm.rank - m)
        return
    if extra is not None:
        comm.Recv(theirs, extra)
        recvbuf += theirs
    mine = recvbuf.copy()
    distance = 1
    while distance < m:
        partner = comm.rank ^ distance
        comm.Sendrecv(mine, partner, recvbuf=theirs, source=partner)
        recvbuf += theirs
        distance *= 2
    if extra is not None:
        comm.Send(recvbuf, extra)
