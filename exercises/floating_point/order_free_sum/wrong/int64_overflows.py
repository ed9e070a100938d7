"""Whole numbers of 2^-40 in an int64.

status: incorrect
feedback: a fixed number of binary places
"""

import numpy as np


def order_free_sum(comm, x):
    with np.errstate(invalid="ignore"):
        own = np.array([np.rint(x * 2.0**40).astype(np.int64).sum()])
    total = np.empty_like(own)
    comm.Allreduce(own, total)
    return float(total[0]) / 2.0**40
