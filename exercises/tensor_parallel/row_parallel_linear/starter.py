import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    """The product x @ a + bias, of which each rank has some inputs.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    x : array of float64, shape (n, own inputs)
    a : array of float64, shape (own inputs, m)
    bias : array of float64, shape (m,)
        The same on all ranks.

    Returns
    -------
    array of float64, shape (n, m)
        The same on all ranks.
    """
    raise NotImplementedError
