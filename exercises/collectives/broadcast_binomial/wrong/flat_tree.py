"""The root sends to one rank after the other.

status: over budget
feedback: one rank does all the work
"""


def broadcast_binomial(comm, buffer, root):
    if comm.rank == root:
        for rank in range(comm.size):
            if rank != root:
                comm.Send(buffer, rank)
    else:
        comm.Recv(buffer, root)
