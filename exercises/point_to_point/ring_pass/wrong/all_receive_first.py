"""Every rank receives before it sends, rank 0 too.

status: deadlocked
feedback: all ranks receive first
"""

import numpy as np


def ring_pass(comm, own):
    if comm.size == 1:
        return own.copy()
    token = np.empty_like(own)
    comm.Recv(token, (comm.rank - 1) % comm.size)
    if comm.rank > 0:
        token = 2 * token + own
    comm.Send(token, (comm.rank + 1) % comm.size)
    return token
