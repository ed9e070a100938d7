"""Writes into an argument.

status: incorrect
feedback: rank 0, x: element
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)
    of_hidden = (gradient @ b.T) * (hidden > 0)
    comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)
    result = y, of_x, x.T @ of_hidden, hidden.T @ gradient
    x[...] = y
    return result
