"""Thread 0 adds up the rows before the others have counted.

status: incorrect
feedback: Put a barrier between the two lines
"""

import numba
import numpy as np

from labkit.openmp.sync import num_threads, static_block, thread_num


@numba.njit
def count_block(team, data, rows, counts):
    start, stop = static_block(data.size)
    t = thread_num()
    for i in range(start, stop):
        rows[t, data[i]] += 1
    if t == 0:
        for b in range(counts.size):
            for k in range(num_threads()):
                counts[b] += rows[k, b]


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, np.zeros((team.num_threads, num_bins), np.int64), counts)
    return counts
