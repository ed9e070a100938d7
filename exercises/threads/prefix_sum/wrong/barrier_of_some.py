"""Only threads that have a block before them wait.

status: deadlocked
feedback: those without work too
"""

import numba
import numpy as np

from labkit.openmp.sync import barrier, static_block, thread_num


@numba.njit
def two_passes(team, x, out, sums):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    sums[thread_num()] = mine
    so_far = 0.0
    if thread_num() > 0:
        barrier(team)
        for k in range(thread_num()):
            so_far += sums[k]
    for i in range(start, stop):
        so_far += x[i]
        out[i] = so_far


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
