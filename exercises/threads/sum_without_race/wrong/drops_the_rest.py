"""The blocks are n // p long, and the last n % p elements are nobody's.

status: incorrect
feedback: left over
"""

import numba
import numpy as np

from labkit.openmp.sync import critical_enter, critical_exit, num_threads, thread_num


@numba.njit
def add_block(team, x, total):
    size = x.size // num_threads()
    start = thread_num() * size
    mine = 0.0
    for i in range(start, start + size):
        mine += x[i]
    critical_enter(team)
    total[0] += mine
    critical_exit(team)


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
