"""Every rank adds the bias.

status: incorrect
feedback: once for every rank
"""

import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    total = np.empty((x.shape[0], a.shape[1]))
    comm.Allreduce(np.ascontiguousarray(x @ a + bias), total, op=MPI.SUM)
    return total
