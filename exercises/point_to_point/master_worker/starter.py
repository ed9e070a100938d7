import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import compute_for


def master_worker(comm, tasks, pace_s):
    """Hand the tasks of rank 0 out to whoever is free.

    Parameters
    ----------
    comm : Communicator
    tasks : ndarray of int64, shape (num_tasks,), or None
        Units of work; on rank 0 only.
    pace_s : float
        Seconds a unit takes on this rank: ``compute_for(comm, units * pace_s)``.

    Returns
    -------
    results, workers : ndarray, shape (num_tasks,), or None
        On rank 0: ``units * units``, and who did it; None on the other ranks.
    """
    raise NotImplementedError
