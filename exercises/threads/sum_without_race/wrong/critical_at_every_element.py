"""Every addition is in a critical section.

status: over budget
feedback: wait for each other at every element
"""

import numba
import numpy as np

from labkit.openmp.sync import critical_enter, critical_exit, static_block


@numba.njit
def add_block(team, x, total):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        critical_enter(team)
        total[0] += x[i]
        critical_exit(team)


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
