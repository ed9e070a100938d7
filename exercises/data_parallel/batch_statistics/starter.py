import numpy as np
from mpi4py import MPI


def batch_statistics(comm, x):
    """Mean and variance of each channel over the samples of all ranks.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    x : array of float64, shape (own samples, C)
        There may be no samples.

    Returns
    -------
    mean, variance : arrays of float64, shape (C,)
        The same on all ranks.
    """
    raise NotImplementedError
