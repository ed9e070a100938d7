"""Every rank waits for the buffer before it passes it on, the root too.

status: deadlocked
feedback: the root has the data
"""


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size
    distance = 1
    while distance < size and not me & distance:
        distance *= 2
    comm.Recv(buffer, (me - distance + root) % size)
    while distance > 1:
        distance //= 2
        if me + distance < size:
            comm.Send(buffer, (me + distance + root) % size)
