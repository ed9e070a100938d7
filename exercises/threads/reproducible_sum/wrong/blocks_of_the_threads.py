"""A block a thread: other numbers of threads, other sums.

status: incorrect
feedback: depends on the number of threads
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums):
    start, stop = static_block(x.size)
    total = 0.0
    for i in range(start, stop):
        total += x[i]
    sums[thread_num()] = total


def reproducible_sum(team, x):
    sums = np.zeros(team.num_threads)
    team.parallel(add_blocks, x, sums)
    total = 0.0
    for value in sums:
        total += value
    return total
