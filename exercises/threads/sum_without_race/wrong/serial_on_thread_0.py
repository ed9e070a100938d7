"""Thread 0 adds up everything.

status: over budget
feedback: One thread does all the work
"""

import numba
import numpy as np

from labkit.openmp.sync import thread_num


@numba.njit
def add_block(team, x, total):
    if thread_num() == 0:
        mine = 0.0
        for i in range(x.size):
            mine += x[i]
        total[0] = mine


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
