"""Only rank 0 has the sum.

status: incorrect
feedback: not a reduce
"""

import numpy as np
from mpi4py import MPI


def row_parallel_linear(comm, x, a, bias):
    total = np.zeros((x.shape[0], a.shape[1]))
    comm.Reduce(np.ascontiguousarray(x @ a), total, op=MPI.SUM, root=0)
    return total + bias
