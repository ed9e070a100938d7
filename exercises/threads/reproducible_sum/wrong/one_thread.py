"""Thread 0 adds up all blocks.

status: over budget
feedback: One thread does all the work
"""

import numba
import numpy as np

from labkit.openmp.sync import thread_num

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums):
    first, last = 0, sums.size if thread_num() == 0 else 0
    for b in range(first, last):
        total = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, x.size)):
            total += x[i]
        sums[b] = total


def reproducible_sum(team, x):
    sums = np.zeros(-(-x.size // BLOCK))
    team.parallel(add_blocks, x, sums)
    total = 0.0
    for value in sums:
        total += value
    return total
