"""The critical section is entered and not left.

status: deadlocked
feedback: has not left it
"""

import numba
import numpy as np

from labkit.openmp.sync import critical_enter, static_block


@numba.njit
def add_block(team, x, total):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    critical_enter(team)
    total[0] += mine


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
