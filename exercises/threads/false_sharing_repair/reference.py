import numba
import numpy as np

from labkit.openmp.sync import static_block, thread_num

LINE = 8  # int64 or float64 numbers in a cache line of 64 bytes


@numba.njit
def count_block(team, x, threshold, counts, sums):
    start, stop = static_block(x.size)
    t = thread_num()
    for i in range(start, stop):
        if x[i] > threshold:
            counts[t, 0] += 1
            sums[t, 0] += x[i]


def count_and_sum(team, x, threshold):
    """A line of the cache for the counter of each thread, and one for its sum."""
    counts = np.zeros((team.num_threads, LINE), np.int64)
    sums = np.zeros((team.num_threads, LINE))
    team.parallel(count_block, x, threshold, counts, sums)
    return counts[:, 0].sum(), sums[:, 0].sum()
