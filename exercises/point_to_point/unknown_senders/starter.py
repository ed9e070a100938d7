import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    """Send all letters, and receive those for this rank.

    Parameters
    ----------
    comm : Communicator
    outgoing : list of (int, ndarray of float64)
        Destination and letter.
    num_incoming : int
        Letters that will come to this rank.

    Returns
    -------
    list of (int, ndarray of float64)
        Source and letter, sorted by source; those of one source in the order in which they were sent.
    """
    raise NotImplementedError
