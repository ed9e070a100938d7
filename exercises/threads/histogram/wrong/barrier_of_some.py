"""Threads without numbers leave before the barrier.

status: deadlocked
feedback: those without work too
"""

import numba
import numpy as np

from labkit.openmp.sync import barrier, num_threads, static_block, thread_num


@numba.njit
def count_block(team, data, rows, counts):
    start, stop = static_block(data.size)
    t = thread_num()
    if start < stop:
        for i in range(start, stop):
            rows[t, data[i]] += 1
        barrier(team)
    if t == 0:
        for k in range(num_threads()):
            for b in range(counts.size):
                counts[b] += rows[k, b]


def histogram(team, data, num_bins):
    counts = np.zeros(num_bins, np.int64)
    team.parallel(count_block, data, np.zeros((team.num_threads, num_bins), np.int64), counts)
    return counts
