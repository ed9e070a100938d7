"""The merge ends one bin too early.

status: incorrect
feedback: All bins are right but the last one
"""

import numba
import numpy as np

from labkit.openmp.sync import critical_enter, critical_exit, static_block


@numba.njit
def count_block(team, data, counts):
    start, stop = static_block(data.size)
    mine = np.zeros(counts.size, np.int64)
    for i in range(start, stop):
        mine[data[i]] += 1
    critical_enter(team)
    for b in range(counts.size - 1):
        counts[b] += mine[b]
    critical_exit(team)


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, counts)
    return counts
