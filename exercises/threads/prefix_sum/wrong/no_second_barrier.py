"""Thread 0 calculates the offsets, and the others do not wait for it.

status: incorrect
feedback: Put a barrier between the two lines
"""

import numba
import numpy as np

from labkit.openmp.sync import barrier, num_threads, static_block, thread_num


@numba.njit
def two_passes(team, x, out, sums):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    sums[thread_num()] = mine
    barrier(team)
    if thread_num() == 0:
        total = 0.0
        for k in range(num_threads()):
            before = total
            total += sums[k]
            sums[k] = before
    so_far = sums[thread_num()]
    for i in range(start, stop):
        so_far += x[i]
        out[i] = so_far


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
