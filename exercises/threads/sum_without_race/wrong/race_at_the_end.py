"""Each thread adds up alone, but the totals meet without protection.

status: incorrect
feedback: total[0] in line 16
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def add_block(team, x, total):
    start, stop = static_block(x.size)
    total[0] += x[start:stop].sum()


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
