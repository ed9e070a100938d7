"""32 bytes between two threads.

status: over budget
feedback: same cache line
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num


@numba.njit
def count_block(team, x, threshold, counts, sums):
    start, stop = static_block(x.size)
    t = thread_num()
    for i in range(start, stop):
        if x[i] > threshold:
            counts[t, 0] += 1
            sums[t, 0] += x[i]


def count_and_sum(team, x, threshold):
    counts = np.zeros((team.num_threads, 4), np.int64)
    sums = np.zeros((team.num_threads, 4))
    team.parallel(count_block, x, threshold, counts, sums)
    return counts.sum(), sums.sum()
