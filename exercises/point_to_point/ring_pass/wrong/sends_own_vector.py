"""Every rank sends its own vector on instead of the token.

status: incorrect
feedback: no token passes more than one rank
"""

import numpy as np


def ring_pass(comm, own):
    if comm.size == 1:
        return own.copy()
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    from_left = np.empty_like(own)
    comm.Sendrecv(own, right, 0, from_left, left)
    if comm.rank == 0:
        # what the last rank returns
        comm.Recv(from_left, left, 1)
        return from_left
    token = 2 * from_left + own
    if right == 0:
        comm.Send(token, right, 1)
    return token
