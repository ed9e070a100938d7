"""All threads count in the same bins.

status: incorrect
feedback: one change is lost
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def count_block(team, data, counts):
    start, stop = static_block(data.size)
    for i in range(start, stop):
        counts[data[i]] += 1


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
