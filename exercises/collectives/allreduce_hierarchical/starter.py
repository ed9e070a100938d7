import numpy as np
from mpi4py import MPI


def allreduce_hierarchical(comm, sendbuf, recvbuf, ranks_per_node):
    """The sum of the vectors of all ranks, on all ranks; only one rank of a node talks to other nodes.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    sendbuf : array, n elements
        The own vector.
    recvbuf : array, n elements
        Filled with the sum.
    ranks_per_node : int
        Ranks on a node; the last node may have fewer.
    """
    raise NotImplementedError
