"""The leaders do not exchange the sums of their nodes.

status: incorrect
feedback: each node has its own sum
"""

import numpy as np


def allreduce_hierarchical(comm, sendbuf, recvbuf, ranks_per_node):
    rank, size = comm.rank, comm.size
    leader = rank - rank % ranks_per_node
    members = range(leader + 1, min(leader + ranks_per_node, size))
    recvbuf[:] = sendbuf
    if rank != leader:
        comm.Send(recvbuf, leader)
        comm.Recv(recvbuf, leader)
        return
    theirs = np.empty_like(recvbuf)
    for member in members:
        comm.Recv(theirs, member)
        recvbuf += theirs
    for member in members:
        comm.Send(recvbuf, member)
