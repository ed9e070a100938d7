"""send and recv pickle: right values, more bytes than the numbers have.

status: over budget
feedback: pickle the array
"""


def ring_pass(comm, own):
    if comm.size == 1:
        return own.copy()
    if comm.rank == 0:
        comm.send(own, 1)
        return comm.recv(source=comm.size - 1)
    token = 2 * comm.recv(source=comm.rank - 1) + own
    comm.send(token, (comm.rank + 1) % comm.size)
    return token
