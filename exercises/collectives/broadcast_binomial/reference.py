"""A binomial tree: in each round, everybody who has the buffer sends it to a rank that has not."""


def broadcast_binomial(comm, buffer, root):
    size = comm.size
    me = (comm.rank - root) % size  # ranks are counted from the root
    # Number ``me`` gets the buffer from the number that lacks its lowest 1 bit: 6 = 0b110 from 4 = 0b100.
    distance = 1
    while distance < size and not me & distance:
        distance *= 2
    if me:
        comm.Recv(buffer, (me - distance + root) % size)
    # ... and passes it on, to the furthest first: that one has most others to serve.
    while distance > 1:
        distance //= 2
        if me + distance < size:
            comm.Send(buffer, (me + distance + root) % size)
