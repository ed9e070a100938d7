import numpy as np
from mpi4py import MPI


def order_free_sum(comm, x):
    """The exact sum of the terms of all ranks, rounded once.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    x : array of float64, n elements
        The rank's own terms; may be empty.

    Returns
    -------
    float
        The same on every rank.
    """
    raise NotImplementedError
