"""On one rank it sends the token to itself before it receives.

status: deadlocked
feedback: With one rank there is nothing to send
"""


def ring_pass(comm, own):
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    token = own.copy()
    if comm.rank == 0:
        comm.Send(own, right)
        comm.Recv(token, left)
    else:
        comm.Recv(token, left)
        token = 2 * token + own
        comm.Send(token, right)
    return token
