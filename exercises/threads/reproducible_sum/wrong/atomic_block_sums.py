"""The block sums are added atomically.

status: incorrect
feedback: who comes first
"""

import numba
import numpy as np

from labkit.openmp.sync import atomic_add, num_threads, thread_num

BLOCK = 64


@numba.njit
def add_blocks(team, x, result):
    num_blocks = -(-x.size // BLOCK)
    for b in range(thread_num(), num_blocks, num_threads()):
        total = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, x.size)):
            total += x[i]
        atomic_add(result, 0, total)


def reproducible_sum(team, x):
    result = np.zeros(1)
    team.parallel(add_blocks, x, result)
    return result[0]
