"""The receive buffer is float64 whatever the vector's type is.

status: incorrect
feedback: np.empty_like(own)
"""

import numpy as np


def ring_pass(comm, own):
    if comm.size == 1:
        return own.copy()
    token = np.zeros(len(own))
    if comm.rank == 0:
        comm.Send(own, 1)
        comm.Recv(token, comm.size - 1)
        return token
    comm.Recv(token, comm.rank - 1)
    token = 2 * token + own
    comm.Send(token, (comm.rank + 1) % comm.size)
    return token
