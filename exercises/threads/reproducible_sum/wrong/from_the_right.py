"""The block sums are added from right to left.

status: incorrect
feedback: another order
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums):
    first, last = static_block(sums.size)
    for b in range(first, last):
        total = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, x.size)):
            total += x[i]
        sums[b] = total


def reproducible_sum(team, x):
    sums = np.zeros(-(-x.size // BLOCK))
    team.parallel(add_blocks, x, sums)
    total = 0.0
    for value in sums[::-1]:
        total += value
    return total
