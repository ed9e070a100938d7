"""A thread without elements returns, and the others wait for it.

status: deadlocked
feedback: those without work too
"""

import numba
import numpy as np

from labkit.openmp.sync import barrier, static_block, thread_num


@numba.njit
def add_block(team, x, partial, total):
    start, stop = static_block(x.size)
    if start == stop:
        return
    partial[thread_num()] = x[start:stop].sum()
    barrier(team)
    if thread_num() == 0:
        total[0] = partial.sum()


def parallel_sum(team, x):
    total = np.zeros(1)
    team.parallel(add_block, x, np.zeros(team.num_threads), total)
    return total[0]
