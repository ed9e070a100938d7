"""The loop ends one step too early.

status: incorrect
feedback: one step short
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    for step in range(1, size - 1):
        out, k = (rank - step + 1) % size, (rank - step) % size
        comm.Sendrecv(
            recvbuf[out * m : (out + 1) * m], (rank + 1) % size,
            recvbuf=recvbuf[k * m : (k + 1) * m], source=(rank - 1) % size,
        )
