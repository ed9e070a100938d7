"""No sum backward.

status: incorrect
feedback: all-reduce of the backward pass
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    comm.Allreduce(np.ascontiguousarray(hidden @ b), y, op=MPI.SUM)
    of_hidden = (gradient @ b.T) * (hidden > 0)
    of_x = of_hidden @ a.T
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
