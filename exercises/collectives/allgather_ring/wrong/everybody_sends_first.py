"""Every rank sends before it receives.

status: deadlocked
feedback: every rank sends before it receives
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    k = rank
    for _ in range(size - 1):
        comm.Send(recvbuf[k * m : (k + 1) * m], (rank + 1) % size)
        k = (k - 1) % size
        comm.Recv(recvbuf[k * m : (k + 1) * m], (rank - 1) % size)
