"""No ring: every rank sends its block to every other rank.

status: over budget
feedback: past the neighbours
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    for step in range(1, size):
        k = (rank - step) % size
        comm.Sendrecv(sendbuf, (rank + step) % size, recvbuf=recvbuf[k * m : (k + 1) * m], source=k)
