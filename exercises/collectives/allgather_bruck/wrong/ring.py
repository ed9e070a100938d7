"""A ring: right, but p - 1 rounds.

status: over budget
feedback: as a ring does
"""


def allgather_bruck(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    for step in range(1, size):
        out, k = (rank - step + 1) % size, (rank - step) % size
        comm.Sendrecv(
            recvbuf[out * m : (out + 1) * m], (rank + 1) % size,
            recvbuf=recvbuf[k * m : (k + 1) * m], source=(rank - 1) % size,
        )
