"""The number of rounds is rounded down, so that the last ranks get nothing.

status: incorrect
feedback: powers of two only
"""

from math import log2


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size
    for k in range(int(log2(size))):
        distance = 2**k
        if me < distance:
            comm.Send(buffer, (me + distance + root) % size)
        elif me < 2 * distance:
            comm.Recv(buffer, (me - distance + root) % size)
