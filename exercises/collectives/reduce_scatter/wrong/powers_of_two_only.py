"""The partner is rank ^ half, for every p.

status: crashed
feedback: powers of two only
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    ends = [0, *np.cumsum(counts).tolist()]
    total = sendbuf.copy()
    theirs = np.empty_like(total)
    first, half = 0, 1 << (size - 1).bit_length() >> 1
    while half:
        low = slice(ends[min(first, size)], ends[min(first + half, size)])
        high = slice(ends[min(first + half, size)], ends[min(first + 2 * half, size)])
        keep, give = (low, high) if not rank & half else (high, low)
        comm.Sendrecv(total[give], rank ^ half, recvbuf=theirs[keep], source=rank ^ half)
        total[keep] += theirs[keep]
        first += half if rank & half else 0
        half //= 2
    recvbuf[:] = total[ends[rank] : ends[rank + 1]]
