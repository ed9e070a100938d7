"""A ring: pass on to the right what has just come from the left."""


def allgather_ring(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    blocks = recvbuf.reshape(size, sendbuf.size)  # block k is row k
    right, left = (rank + 1) % size, (rank - 1) % size
    blocks[rank] = sendbuf
    for step in range(size - 1):
        # What leaves is the own block at first, and then the one that came in the step before.
        leaving, arriving = (rank - step) % size, (rank - step - 1) % size
        comm.Sendrecv(blocks[leaving], right, recvbuf=blocks[arriving], source=left)
