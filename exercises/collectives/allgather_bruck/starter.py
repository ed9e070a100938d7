import numpy as np
from mpi4py import MPI


def allgather_bruck(comm, sendbuf, recvbuf):
    """Every rank's block to all ranks, in ceil(lg p) rounds.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    sendbuf : array, m elements
        The own block.
    recvbuf : array, p * m elements
        Filled with the blocks of ranks 0, 1, ..., p - 1.
    """
    raise NotImplementedError
