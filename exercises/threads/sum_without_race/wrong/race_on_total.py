"""All threads add to one element.

status: incorrect
feedback: one change is lost
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def add_block(team, x, total):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        total[0] = total[0] + x[i]


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
