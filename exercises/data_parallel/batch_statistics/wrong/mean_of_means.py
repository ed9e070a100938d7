"""All ranks count alike.

status: incorrect
feedback: count alike
"""

import numpy as np
from mpi4py import MPI


def batch_statistics(comm, x):
    num_channels = x.shape[1]
    totals, squares = np.empty(num_channels + 1), np.empty(num_channels)
    own = x.mean(axis=0) if len(x) else np.zeros(num_channels)
    comm.Allreduce(np.append(own, 1.0), totals, op=MPI.SUM)
    mean = totals[:-1] / totals[-1]
    comm.Allreduce(((x - mean) ** 2).mean(axis=0) if len(x) else np.zeros(num_channels), squares, op=MPI.SUM)
    return mean, squares / totals[-1]
