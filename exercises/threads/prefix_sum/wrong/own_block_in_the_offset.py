"""The sum of the own block is added, too.

status: incorrect
feedback: The own block is in the offset
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
    barrier(team)
    so_far = 0.0
    for k in range(thread_num() + 1):
        so_far += sums[k]
    for i in range(start, stop):
        so_far += x[i]
        out[i] = so_far


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
