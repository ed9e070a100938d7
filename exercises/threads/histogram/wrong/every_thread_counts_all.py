"""Each thread goes through all numbers and keeps those of its bins.

status: over budget
feedback: One thread does all the work
"""

import numba
import numpy as np

from labkit.openmp.sync import num_threads, thread_num


@numba.njit
def count_block(team, data, counts):
    t, p = thread_num(), num_threads()
    for i in range(data.size):
        if data[i] % p == t:
            counts[data[i]] += 1


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
