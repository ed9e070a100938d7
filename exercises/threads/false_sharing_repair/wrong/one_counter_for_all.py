"""One counter and one sum, without protection.

status: incorrect
feedback: one change is lost
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def count_block(team, x, threshold, counts, sums):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        if x[i] > threshold:
            counts[0] += 1
            sums[0] += x[i]


def count_and_sum(team, x, threshold):
    counts = np.zeros(1, np.int64)
    sums = np.zeros(1)
    team.parallel(count_block, x, threshold, counts, sums)
    return counts[0], sums[0]
