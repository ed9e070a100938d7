"""The leaders send their sums to rank 0, one after the other, and get the result from there.

status: over budget
feedback: your leaders wait for each other
"""

import numpy as np


def allreduce_hierarchical(comm, sendbuf, recvbuf, ranks_per_node):
    rank, size, q = comm.rank, comm.size, ranks_per_node
    leader = rank - rank % ranks_per_node
    recvbuf[:] = sendbuf
    theirs = np.empty_like(recvbuf)
    mine = range(leader + 1, min(leader + q, size)) if rank == leader else range(0)
    leaders = range(q, size, q) if rank == 0 else range(0)
    above = 0 if rank == leader else leader
    for source in [*mine, *leaders]:
        comm.Recv(theirs, source)
        recvbuf += theirs
    if rank:
        comm.Send(recvbuf, above)
        comm.Recv(recvbuf, above)
    for dest in [*leaders, *mine]:
        comm.Send(recvbuf, dest)
