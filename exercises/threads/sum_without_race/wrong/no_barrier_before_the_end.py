"""Thread 0 combines before the others are done.

status: incorrect
feedback: Put a barrier between the two lines
"""

import numba
import numpy as np

from labkit.openmp.sync import num_threads, static_block, thread_num


@numba.njit
def add_block(team, x, partial, total):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    partial[thread_num()] = mine
    if thread_num() == 0:
        for k in range(num_threads()):
            total[0] += partial[k]


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, np.zeros(team.num_threads), total)
    return total[0]
