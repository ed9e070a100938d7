import numpy as np


def exchange(comm, vector):
    """Three exchanges, of which each can get stuck: repair them.

    Parameters
    ----------
    comm : Communicator
    vector : ndarray, shape (n,)
        Of this rank; is not changed.

    Returns
    -------
    from_left : ndarray, shape (n,)
        The vector of rank - 1; on rank 0, that of the last rank.
    from_partner : ndarray, shape (n,)
        The vector of the partner; this rank's own, if it has no partner.
    total : ndarray, shape (n,)
        The sum of the vectors of ranks 0 to this one.
    """
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size

    # 1. The ring: everybody passes its vector to the right.
    from_left = np.empty_like(vector)
    comm.Send(vector, right, 1)
    comm.Recv(from_left, left, 1)

    # 2. Pairs: 0 with 1, 2 with 3, and so on. The last of an odd number has no partner.
    from_partner = vector.copy()
    partner = comm.rank + 1 if comm.rank % 2 == 0 else comm.rank - 1
    if partner < comm.size:
        comm.Sendrecv(vector, partner, comm.rank, from_partner, partner, comm.rank)

    # 3. The chain: the sum so far comes from the left, this rank adds its vector and sends it on.
    so_far = np.zeros_like(vector)
    comm.Recv(so_far, left, 3)
    total = so_far + vector
    if comm.rank < comm.size - 1:
        comm.Send(total, right, 3)
    return from_left, from_partner, total
