"""Blocks are put one behind the other as they arrive.

status: incorrect
feedback: in the order in which they arrived
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[:m] = sendbuf
    for step in range(1, size):
        comm.Sendrecv(
            recvbuf[(step - 1) * m : step * m], (rank + 1) % size,
            recvbuf=recvbuf[step * m : (step + 1) * m], source=(rank - 1) % size,
        )
