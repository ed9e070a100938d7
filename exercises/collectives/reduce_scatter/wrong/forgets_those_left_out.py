"""The ranks that gave their vectors away never get their blocks.

status: incorrect
feedback: never get their blocks
"""

import numpy as np


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    rank, size = comm.rank, comm.size
    num_acting = 1 << (size.bit_length() - 1)
    rest = size - num_acting
    ends = [0, *np.cumsum(counts).tolist()]  # block k is ends[k] to ends[k + 1]
    is_pair = rank < 2 * rest
    if is_pair and rank % 2:
        comm.Send(sendbuf, rank - 1)
        return
    total = sendbuf.copy()
    theirs = np.empty_like(total)
    if is_pair:
        comm.Recv(theirs, rank + 1)
        total += theirs

    def rank_of(number):  # who acts as this number; also the first block that the number stands for
        return 2 * number if number < rest else number + rest

    number = rank // 2 if is_pair else rank - rest
    first, half = 0, num_acting // 2  # this rank works on the blocks of numbers first to first + 2 * half
    while half:
        middle = first + half
        begin, cut, end = (ends[rank_of(k)] for k in (first, middle, middle + half))
        keep, give = slice(begin, cut), slice(cut, end)
        if number >= middle:
            keep, give, first = give, keep, middle
        partner = rank_of(number ^ half)
        comm.Sendrecv(total[give], partner, recvbuf=theirs[keep], source=partner)
        total[keep] += theirs[keep]
        half //= 2
    recvbuf[:] = total[ends[rank] : ends[rank + 1]]
