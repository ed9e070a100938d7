import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    """The cross-entropy of each row; each rank has the logits of some tokens.

    Parameters
    ----------
    comm : communicator
        ``comm.rank`` and ``comm.size`` are this rank and the number of ranks.
    logits : array of float64, shape (n, own tokens)
        There may be no tokens.
    first : int
        The token of the first column.
    targets : array of int64, shape (n,)
        Counted over all ranks, the same on all of them.

    Returns
    -------
    array of float64, shape (n,)
        The same on all ranks.
    """
    raise NotImplementedError
