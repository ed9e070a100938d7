import numpy as np
from mpi4py import MPI


def scan_recursive_doubling(comm, sendbuf, recvbuf):
    """The products of the matrices of ranks 0 to ``comm.rank``, in order, in ceil(lg p) rounds.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    sendbuf : array, (n, 2, 2)
        The matrices of this rank.
    recvbuf : array, (n, 2, 2)
        Filled with the products.
    """
    raise NotImplementedError
