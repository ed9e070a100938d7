"""A critical section for each number.

status: over budget
feedback: wait for each other at every element
"""

import numba
import numpy as np

from labkit.openmp.sync import critical_enter, critical_exit, static_block


@numba.njit
def count_block(team, data, counts):
    start, stop = static_block(data.size)
    for i in range(start, stop):
        critical_enter(team)
        counts[data[i]] += 1
        critical_exit(team)


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
