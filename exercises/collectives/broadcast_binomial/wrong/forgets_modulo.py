"""Numbers counted from the root become ranks without a modulo, so the tree leaves the world.

status: crashed
feedback: a rank that does not exist
"""


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size
    distance = 1
    while distance < size:
        if me < distance and me + distance < size:
            comm.Send(buffer, me + distance + root)
        elif distance <= me < 2 * distance:
            comm.Recv(buffer, me - distance + root)
        distance *= 2
