"""The last rank does not send the token back to rank 0.

status: deadlocked
feedback: the ring is open
"""


def ring_pass(comm, own):
    token = own.copy()
    if comm.size == 1:
        return token
    if comm.rank == 0:
        comm.Send(token, 1)
        comm.Recv(token, comm.size - 1)
        return token
    comm.Recv(token, comm.rank - 1)
    token = 2 * token + own
    if comm.rank < comm.size - 1:
        comm.Send(token, comm.rank + 1)
    return token
