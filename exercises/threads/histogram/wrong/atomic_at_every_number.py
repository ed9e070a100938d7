"""An atomic addition for each number.

status: over budget
feedback: wait for each other at every element
"""

import numba
import numpy as np

from labkit.openmp.sync import atomic_add, static_block


@numba.njit
def count_block(team, data, counts):
    start, stop = static_block(data.size)
    for i in range(start, stop):
        atomic_add(counts, data[i], 1)


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
