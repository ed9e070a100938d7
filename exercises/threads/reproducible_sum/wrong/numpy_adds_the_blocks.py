"""NumPy adds up the blocks, in an order of its own.

status: incorrect
feedback: an order of its own
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums):
    first, last = static_block(sums.size)
    for b in range(first, last):
        sums[b] = x[b * BLOCK : (b + 1) * BLOCK].sum()


def reproducible_sum(team, x):
    sums = np.zeros(-(-x.size // BLOCK))
    team.parallel(add_blocks, x, sums)
    total = 0.0
    for value in sums:
        total += value
    return total
