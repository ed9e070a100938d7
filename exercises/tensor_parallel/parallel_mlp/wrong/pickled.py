"""Lower-case calls.

status: over budget
feedback: pickle
"""

import numpy as np
from mpi4py import MPI


def parallel_mlp(comm, x, a, b, gradient):
    hidden = np.maximum(x @ a, 0)
    y = comm.allreduce(hidden @ b, op=MPI.SUM)
    of_hidden = (gradient @ b.T) * (hidden > 0)
    of_x = comm.allreduce(of_hidden @ a.T, op=MPI.SUM)
    return y, of_x, x.T @ of_hidden, hidden.T @ gradient
