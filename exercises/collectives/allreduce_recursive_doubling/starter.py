import numpy as np
from mpi4py import MPI


def allreduce_recursive_doubling(comm, sendbuf, recvbuf):
    """The sum of the vectors of all ranks, on all ranks, in about lg p rounds.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    sendbuf : array, n elements
        The own vector.
    recvbuf : array, n elements
        Filled with the sum.
    """
    raise NotImplementedError
