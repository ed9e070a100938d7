"""The ring is right, but lower-case calls send pickled objects.

status: over budget
feedback: pickle the array
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    block = sendbuf
    recvbuf[rank * m : (rank + 1) * m] = block
    for step in range(1, size):
        block = comm.sendrecv(block, (rank + 1) % size, source=(rank - 1) % size)
        k = (rank - step) % size
        recvbuf[k * m : (k + 1) * m] = block
