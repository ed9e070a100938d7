"""Every rank waits for the product of the rank before it.

status: over budget
feedback: form a chain
"""

import numpy as np


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    recvbuf[...] = sendbuf
    if comm.rank > 0:
        before = np.empty_like(sendbuf)
        comm.Recv(before, comm.rank - 1)
        recvbuf[...] = before @ sendbuf
    if comm.rank < comm.size - 1:
        comm.Send(recvbuf, comm.rank + 1)
