"""The half that the partner needs is kept.

status: incorrect
feedback: the half that your partner needs
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    ends = [0, *np.cumsum(counts).tolist()]
    total = sendbuf.copy()
    theirs = np.empty_like(total)
    first, half = 0, size // 2
    while half:
        low = slice(ends[first], ends[first + half])
        high = slice(ends[first + half], ends[first + 2 * half])
        keep, give = (high, low) if not rank & half else (low, high)
        comm.Sendrecv(total[give], rank ^ half, recvbuf=theirs[keep], source=rank ^ half)
        total[keep] += theirs[keep]
        first += half if not rank & half else 0
        half //= 2
    recvbuf[:] = total[ends[first] : ends[first + 1]]
