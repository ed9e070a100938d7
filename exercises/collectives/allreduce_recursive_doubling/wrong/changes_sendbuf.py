"""The caller's vector is used as room for the sum.

status: incorrect
feedback: sendbuf has changed
"""


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    m = 1 << (size.bit_length() - 1)
    if rank >= m:
        comm.Send(sendbuf, rank - m)
        comm.Recv(recvbuf, rank - m)
        return
    if rank + m < size:
        comm.Recv(recvbuf, rank + m)
        sendbuf += recvbuf
    distance = 1
    while distance < m:
        comm.Sendrecv(sendbuf, rank ^ distance, recvbuf=recvbuf, source=rank ^ distance)
        sendbuf += recvbuf
        distance *= 2
    recvbuf[:] = sendbuf
    if rank + m < size:
        comm.Send(recvbuf, rank + m)
