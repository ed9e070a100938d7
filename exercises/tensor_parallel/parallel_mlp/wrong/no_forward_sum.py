"""No sum forward.

status: incorrect
feedback: own part of the sum over hidden
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y, of_x = np.zeros_like(x), np.zeros_like(x)
    y = hidden @ b + 0 * MPI.SUM.Is_commutative()
    of_hidden = (gradient @ b.T) * (hidden > 0)
    comm.Allreduce(np.ascontiguousarray(of_hidden @ a.T), of_x, op=MPI.SUM)
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
