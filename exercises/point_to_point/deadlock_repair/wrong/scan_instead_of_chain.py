"""The chain is replaced by a collective.

status: forbidden call
feedback: scan
"""

import numpy as np


def exchange(comm, vector):
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size

    from_left = np.empty_like(vector)
    comm.Sendrecv(vector, right, 1, from_left, left, 1)

    from_partner = vector.copy()
    partner = comm.rank + 1 if comm.rank % 2 == 0 else comm.rank - 1
    if partner < comm.size:
        comm.Sendrecv(vector, partner, 2, from_partner, partner, 2)

    total = np.empty_like(vector)
    comm.Scan(vector, total)
    return from_left, from_partner, total
