"""The tree is right, but lower-case calls send pickled objects.

status: over budget
feedback: pickles the array
"""


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size
    distance = 1
    while distance < size:
        if me < distance and me + distance < size:
            comm.send(buffer, (me + distance + root) % size)
        elif distance <= me < 2 * distance:
            buffer[:] = comm.recv(source=(me - distance + root) % size)
        distance *= 2
