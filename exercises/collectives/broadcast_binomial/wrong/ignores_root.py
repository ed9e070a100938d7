"""The tree always begins at rank 0.

status: incorrect
feedback: count the ranks from the root
"""


def broadcast_binomial(comm, buffer, root):
    rank, size = comm.rank, comm.size
    distance = 1
    while distance < size:
        if rank < distance and rank + distance < size:
            comm.Send(buffer, rank + distance)
        elif distance <= rank < 2 * distance:
            comm.Recv(buffer, rank - distance)
        distance *= 2
