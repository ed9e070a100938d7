"""Every step sends the own block again.

status: incorrect
feedback: pass on what has just arrived
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    for step in range(1, size):
        k = (rank - step) % size
        comm.Sendrecv(sendbuf, (rank + 1) % size, recvbuf=recvbuf[k * m : (k + 1) * m], source=(rank - 1) % size)
