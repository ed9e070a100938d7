"""Two laps around the ring: blocks are added up in the first, and spread in the second."""

import numpy as np


def allreduce_ring(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    right, left = (rank + 1) % size, (rank - 1) % size
    recvbuf[:] = sendbuf
    blocks = np.array_split(recvbuf, size)  # views; sizes differ by at most 1
    theirs = np.empty_like(blocks[0])
    for step in range(size - 1):
        leaving, arriving = blocks[(rank - step) % size], blocks[(rank - step - 1) % size]
        room = theirs[: arriving.size]
        comm.Sendrecv(leaving, right, recvbuf=room, source=left)
        arriving += room  # the sum over step + 2 ranks that end with this one
    # Now block rank + 1 is complete here.
    for step in range(size - 1):
        leaving, arriving = blocks[(rank - step + 1) % size], blocks[(rank - step) % size]
        comm.Sendrecv(leaving, right, recvbuf=arriving, source=left)
