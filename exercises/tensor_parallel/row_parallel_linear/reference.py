import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    """Add up the partial products, then add the bias once."""
    total = np.empty((x.shape[0], a.shape[1]))
    comm.Allreduce(np.ascontiguousarray(x @ a), total, op=MPI.SUM)
    return total + bias
