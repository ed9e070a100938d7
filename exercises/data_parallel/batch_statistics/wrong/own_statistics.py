"""Every rank for itself.

status: incorrect
feedback: own samples only
"""

import numpy as np


def batch_statistics(comm, x):
    num_channels = x.shape[1]
    totals, squares = np.empty(num_channels + 1), np.empty(num_channels)
    sums = np.append(x.sum(axis=0), float(len(x)))
    totals[:] = sums
    totals[-1] = max(totals[-1], 1)
    mean = totals[:-1] / totals[-1]
    squares = ((x - mean) ** 2).sum(axis=0)
    return mean, squares / totals[-1]
