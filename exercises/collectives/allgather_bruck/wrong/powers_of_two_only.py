"""The partner is rank ^ distance, for every p.

status: crashed
feedback: powers of two only
"""


def allgather_bruck(comm, sendbuf, recvbuf):
    rank, size = comm.rank, comm.size
    found = recvbuf.reshape(size, -1)  # row k is the block of rank k
    found[rank] = sendbuf
    have = 1
    while have < size:
        partner = rank ^ have
        mine, theirs = rank & -have, partner & -have
        comm.Sendrecv(found[mine : mine + have], partner, recvbuf=found[theirs : theirs + have], source=partner)
        have *= 2
