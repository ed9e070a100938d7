"""The array of partial sums has 8 elements, whatever the number of threads.

status: crashed
feedback: as many elements as there are threads
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num


@numba.njit
def add_block(team, x, partial):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    partial[thread_num()] = mine


def parallel_sum(team, x):
    partial = np.zeros(8)
    team.parallel(add_block, x, partial)
    return partial.sum()
