"""The own block is sent, but not copied into recvbuf.

status: incorrect
feedback: the own block is missing
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    leaving = sendbuf
    for step in range(1, size):
        k = (rank - step) % size
        arriving = recvbuf[k * m : (k + 1) * m]
        comm.Sendrecv(leaving, (rank + 1) % size, recvbuf=arriving, source=(rank - 1) % size)
        leaving = arriving
