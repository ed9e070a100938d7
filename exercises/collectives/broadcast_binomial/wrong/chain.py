"""Every rank passes the buffer on to the next one only.

status: over budget
feedback: in a chain
"""


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size
    if me > 0:
        comm.Recv(buffer, (comm.rank - 1) % size)
    if me < size - 1:
        comm.Send(buffer, (comm.rank + 1) % size)
