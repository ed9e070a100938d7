"""The number of nodes is rounded down, so the last node is alone.

status: incorrect
feedback: the last node is missing
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
    _allreduce_of_leaders(comm, recvbuf, theirs, ranks_per_node)
    for member in members:
        comm.Send(recvbuf, member)


def _allreduce_of_leaders(comm, total, theirs, ranks_per_node):
    """Recursive doubling; the leader of node k is rank k * ranks_per_node."""
    node, num_nodes = comm.rank // ranks_per_node, comm.size // ranks_per_node
    if node >= num_nodes:
        return
    num_acting = 1 << (num_nodes.bit_length() - 1)
    if node >= num_acting:  # too many for a power of two: another node acts for this one
        comm.Send(total, (node - num_acting) * ranks_per_node)
        comm.Recv(total, (node - num_acting) * ranks_per_node)
        return
    helped = node + num_acting if node + num_acting < num_nodes else None
    if helped is not None:
        comm.Recv(theirs, helped * ranks_per_node)
        total += theirs
    distance = 1
    while distance < num_acting:
        partner = (node ^ distance) * ranks_per_node
        comm.Sendrecv(total, partner, recvbuf=theirs, source=partner)
        total += theirs
        distance *= 2
    if helped is not None:
        comm.Send(total, helped * ranks_per_node)
