"""The ring is repaired; the pairs still expect their own tag.

status: deadlocked
feedback: Use the same tag on both sides
"""

import numpy as np


def exchange(comm, vector):
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size

    from_left = np.empty_like(vector)
    comm.Sendrecv(vector, right, 1, from_left, left, 1)

    from_partner = vector.copy()
    partner = comm.rank + 1 if comm.rank % 2 == 0 else comm.rank - 1
    if partner < comm.size:
        comm.Sendrecv(vector, partner, comm.rank, from_partner, partner, comm.rank)

    so_far = np.zeros_like(vector)
    if comm.rank > 0:
        comm.Recv(so_far, left, 3)
    total = so_far + vector
    if comm.rank < comm.size - 1:
        comm.Send(total, right, 3)
    return from_left, from_partner, total
