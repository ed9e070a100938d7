"""Deviations from the own mean.

status: incorrect
feedback: own mean
"""

import numpy as np
from mpi4py import MPI


def batch_statistics(comm, x):
    num_channels = x.shape[1]
    totals, squares = np.empty(num_channels + 1), np.empty(num_channels)
    sums = np.append(x.sum(axis=0), float(len(x)))
    comm.Allreduce(sums, totals, op=MPI.SUM)
    mean = totals[:-1] / totals[-1]
    comm.Allreduce(((x - sums[:-1] / max(len(x), 1)) ** 2).sum(axis=0), squares, op=MPI.SUM)
    return mean, squares / totals[-1]
