"""A rank without inputs goes home.

status: deadlocked
feedback: takes part
"""

import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    total = np.zeros((x.shape[0], a.shape[1]))
    if x.shape[1]:
        comm.Allreduce(np.ascontiguousarray(x @ a), total, op=MPI.SUM)
    return total + bias
