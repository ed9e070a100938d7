import numpy as np
from mpi4py import MPI


def reduce_scatter_halving(comm, sendbuf, recvbuf, counts):
    """Block ``comm.rank`` of the sum of all vectors, by recursive halving.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    sendbuf : array, n elements
        The own vector.
    recvbuf : array, counts[comm.rank] elements
        Filled with the own block of the sum.
    counts : list of int
        Elements of each block; n is their sum.
    """
    raise NotImplementedError
