"""All inputs and the whole matrix on every rank.

status: over budget
feedback: stay where they are
"""

import numpy as np


def row_parallel_linear(comm, x, a, bias):
    xs, rows = comm.allgather(x), comm.allgather(a)
    return np.concatenate(xs, axis=1) @ np.concatenate(rows) + bias
