"""The caller's vector is used as room for the sum.

status: incorrect
feedback: sendbuf has changed
"""

import numpy as np


def allreduce_ring(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    right, left = (rank + 1) % size, (rank - 1) % size
    blocks, places = np.array_split(sendbuf, size), np.array_split(recvbuf, size)
    for step in range(size - 1):
        k = (rank - step - 1) % size
        comm.Sendrecv(blocks[(rank - step) % size], right, recvbuf=places[k], source=left)
        blocks[k] += places[k]
    places[right][:] = blocks[right]
    for step in range(size - 1):
        comm.Sendrecv(places[(rank + 1 - step) % size], right, recvbuf=places[(rank - step) % size], source=left)
