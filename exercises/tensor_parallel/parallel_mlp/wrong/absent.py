"""A rank without hidden values goes home.

status: deadlocked
feedback: takes part
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    if not a.shape[1]:
        return y, of_x, a.copy(), b.copy()
    comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)
    of_hidden = (gradient @ b.T) * (hidden > 0)
    comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
