"""All threads add their block sums to one element.

status: incorrect
feedback: one change is lost
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block

BLOCK = 64


@numba.njit
def add_blocks(team, x, sums, result):
    first, last = static_block(sums.size)
    for b in range(first, last):
        total = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, x.size)):
            total += x[i]
        result[0] += total


def reproducible_sum(team, x):
    result = np.zeros(1)
    team.parallel(add_blocks, x, np.zeros(-(-x.size // BLOCK)), result)
    return result[0]
