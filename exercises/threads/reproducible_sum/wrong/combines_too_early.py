"""Thread 0 adds up the block sums before all are there.

status: incorrect
feedback: Put a barrier between the two lines
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums, result):
    first, last = static_block(sums.size)
    for b in range(first, last):
        total = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, x.size)):
            total += x[i]
        sums[b] = total
    if thread_num() == 0:
        for b in range(sums.size):
            result[0] += sums[b]


def reproducible_sum(team, x):
    result = np.zeros(1)
    team.parallel(add_blocks, x, np.zeros(-(-x.size // BLOCK)), result)
    return result[0]
