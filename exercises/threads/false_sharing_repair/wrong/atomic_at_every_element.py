"""One counter and one sum, changed atomically at every element.

status: over budget
feedback: same cache line
"""

import numba
import numpy as np

from labkit.openmp.sync import atomic_add, static_block


@numba.njit
def count_block(team, x, threshold, counts, sums):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        if x[i] > threshold:
            atomic_add(counts, 0, 1)
            atomic_add(sums, 0, x[i])


def count_and_sum(team, x, threshold):
    counts = np.zeros(1, np.int64)
    sums = np.zeros(1)
    team.parallel(count_block, x, threshold, counts, sums)
    return counts[0], sums[0]
