import numpy as np
from mpi4py import MPI


def broadcast_binomial(comm, buffer, root):
    """Bring the root's buffer to all ranks, in ceil(lg p) rounds.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    buffer : array, n elements
        Read at the root, filled in place elsewhere.
    root : int
    """
    raise NotImplementedError
