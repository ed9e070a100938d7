"""The gradient goes through inactive hidden values.

status: incorrect
feedback: not active
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)
    of_hidden = gradient @ b.T
    comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
