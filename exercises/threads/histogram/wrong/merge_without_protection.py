"""Private counts, but all threads add them to the result at the same time.

status: incorrect
feedback: in line 20
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def count_block(team, data, counts):
    start, stop = static_block(data.size)
    mine = np.zeros(counts.size, np.int64)
    for i in range(start, stop):
        mine[data[i]] += 1
    for b in range(counts.size):
        counts[b] += mine[b]


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
