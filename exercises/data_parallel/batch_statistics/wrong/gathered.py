"""All samples on all ranks.

status: over budget
feedback: 2 C + 1 numbers
"""

import numpy as np


def batch_statistics(comm, x):
    num_channels = x.shape[1]
    totals, squares = np.empty(num_channels + 1), np.empty(num_channels)
    x = np.concatenate(comm.allgather(x))
    totals[:] = np.append(x.sum(axis=0), len(x))
    mean = totals[:-1] / totals[-1]
    squares = ((x - mean) ** 2).sum(axis=0)
    return mean, squares / totals[-1]
