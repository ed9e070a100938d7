"""There are eight rows of private counts, whatever the number of threads.

status: crashed
feedback: a fixed number of threads
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num


@numba.njit
def count_block(team, data, rows):
    start, stop = static_block(data.size)
    for i in range(start, stop):
        rows[thread_num(), data[i]] += 1


def histogram(team, data, num_bins):
    rows = np.zeros((8, num_bins), np.int64)
    team.parallel(count_block, data, rows)
    return rows.sum(axis=0)
