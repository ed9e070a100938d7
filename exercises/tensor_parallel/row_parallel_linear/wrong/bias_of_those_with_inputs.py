"""Ranks that have inputs add the bias.

status: incorrect
feedback: once for every rank
"""

import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    own = x @ a
    if x.shape[1]:
        own = own + bias
    total = np.empty((x.shape[0], a.shape[1]))
    comm.Allreduce(np.ascontiguousarray(own), total, op=MPI.SUM)
    return total
