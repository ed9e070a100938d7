"""Only thread 0 counts, so nothing is shared.

status: over budget
feedback: One thread does all the work
"""

import numba
import numpy as np

from labkit.openmp.sync import thread_num


@numba.njit
def count_block(team, x, threshold, counts, sums):
    if thread_num() == 0:
        for i in range(x.size):
            if x[i] > threshold:
                counts[0] += 1
                sums[0] += x[i]


def count_and_sum(team, x, threshold):
    counts = np.zeros(1, np.int64)
    sums = np.zeros(1)
    team.parallel(count_block, x, threshold, counts, sums)
    return counts[0], sums[0]
