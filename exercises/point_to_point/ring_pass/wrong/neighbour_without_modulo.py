"""The last rank sends to rank p, which does not exist.

status: crashed
feedback: Take (rank + 1) % size
"""


def ring_pass(comm, own):
    token = own.copy()
    if comm.size == 1:
        return token
    if comm.rank == 0:
        comm.Send(own, 1)
        comm.Recv(token, comm.size - 1)
    else:
        comm.Recv(token, comm.rank - 1)
        token = 2 * token + own
        comm.Send(token, comm.rank + 1)
    return token
