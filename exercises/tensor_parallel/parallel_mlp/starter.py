import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    """relu(x @ a) @ b and its gradients; each rank has some of the hidden values.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    x : array of float64, shape (n, w)
        The same on all ranks.
    a : array of float64, shape (w, own hidden)
    b : array of float64, shape (own hidden, w)
    gradient : array of float64, shape (n, w)
        Of the loss by the result, the same on all ranks.

    Returns
    -------
    y, of_x : arrays of float64, shape (n, w)
        The same on all ranks.
    of_a, of_b : arrays of float64
        Gradients by this rank's parts.
    """
    raise NotImplementedError
