"""The token is another name of the argument, which is overwritten.

status: incorrect
feedback: begin with own.copy()
"""


def ring_pass(comm, own):
    token = own
    if comm.size == 1:
        return token
    mine = own.copy()
    if comm.rank == 0:
        comm.Send(token, 1)
        comm.Recv(token, comm.size - 1)
    else:
        comm.Recv(token, comm.rank - 1)
        token *= 2
        token += mine
        comm.Send(token, (comm.rank + 1) % comm.size)
    return token
