"""The last block, which is shorter, is left out.

status: incorrect
feedback: the last block
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
    sums = np.zeros(x.size // BLOCK)
    team.parallel(add_blocks, x, sums)
    total = 0.0
    for value in sums:
        total += value
    return total
