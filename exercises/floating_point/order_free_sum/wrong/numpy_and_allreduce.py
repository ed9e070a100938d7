"""NumPy's sum, and MPI's.

status: incorrect
feedback: rounded at every addition
"""

import numpy as np


def order_free_sum(comm, x):
    total = np.empty(1)
    comm.Allreduce(np.array([x.sum()]), total)
    return float(total[0])
