import numpy as np
from mpi4py import MPI


def average_gradients(comm, gradients, num_samples):
    """Average gradients over the samples of all ranks.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    gradients : list of arrays of float64
        Averages over the own samples, one array a parameter; overwritten with those over all samples.
    num_samples : int
        The own ones; possibly 0, and then gradients are NaN.
    """
    raise NotImplementedError
