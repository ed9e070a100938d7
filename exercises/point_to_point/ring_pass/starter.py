import numpy as np


def ring_pass(comm, own):
    """Send a token around the ring; each rank but 0 makes it ``2 * token + own``.

    Parameters
    ----------
    comm : Communicator
    own : ndarray, shape (n,)
        Of this rank; is not changed.

    Returns
    -------
    ndarray, shape (n,)
        The token as this rank has sent it on; on rank 0 as it has come back.
    """
    raise NotImplementedError
