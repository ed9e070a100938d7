"""Even ranks send and then receive, odd ranks receive and then send: no deadlock, but two rounds a step.

status: over budget
feedback: at the same time
"""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size, m = comm.rank, comm.size, sendbuf.size
    recvbuf[rank * m : (rank + 1) * m] = sendbuf
    for step in range(1, size):
        out, k = (rank - step + 1) % size, (rank - step) % size
        leaving, arriving = recvbuf[out * m : (out + 1) * m], recvbuf[k * m : (k + 1) * m]
        if rank % 2 == 0:
            comm.Send(leaving, (rank + 1) % size)
            comm.Recv(arriving, (rank - 1) % size)
        else:
            comm.Recv(arriving, (rank - 1) % size)
            comm.Send(leaving, (rank + 1) % size)
