import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import compute_for


def halo_exchange(comm, block, width, periodic, work_s):
    """Fill the first and last ``width`` rows with the neighbours' rows, and work meanwhile.

    Parameters
    ----------
    comm : Communicator
    block : ndarray, shape (width + n + width,) or (width + n + width, columns)
        Its ghost rows are filled in place.
    width : int
    periodic : bool
        The last rank and rank 0 are neighbours.
    work_s : float
        To be spent in ``compute_for(comm, work_s)``.
    """
    raise NotImplementedError
