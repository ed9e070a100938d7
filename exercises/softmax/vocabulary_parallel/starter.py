import numpy as np
from mpi4py import MPI


def parallel_cross_entropy(comm, x, targets, first):
    """Losses of rows whose columns are spread over ranks, and the gradient of their mean.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    x : array of float64, shape (n, own columns)
        The own logits; there may be no columns.
    targets : array of int64, shape (n,)
        The right column of each row, counted over all ranks.
    first : int
        The number of the first own column.

    Returns
    -------
    losses : array, shape (n,)
        The same on all ranks.
    gradient : array like x
        Of the mean of the losses by the own logits.
    """
    raise NotImplementedError
