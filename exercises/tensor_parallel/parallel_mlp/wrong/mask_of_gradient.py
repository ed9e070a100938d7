"""The mask is that of the gradient's sign.

status: incorrect
feedback: 1 rank
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)
    of_hidden = np.maximum(gradient @ b.T, 0)
    comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
