"""A rank without samples goes home.

status: deadlocked
feedback: takes part
"""

import numpy as np
from mpi4py import MPI


def batch_statistics(comm, x):
    num_channels = x.shape[1]
    totals, squares = np.empty(num_channels + 1), np.empty(num_channels)
    if len(x) == 0:
        return np.zeros(num_channels), np.zeros(num_channels)
    sums = np.append(x.sum(axis=0), float(len(x)))
    comm.Allreduce(sums, totals, op=MPI.SUM)
    mean = totals[:-1] / totals[-1]
    comm.Allreduce(((x - mean) ** 2).sum(axis=0), squares, op=MPI.SUM)
    return mean, squares / totals[-1]
