import numba
import numpy as np

from labkit.openmp.sync import num_threads, static_block, thread_num


@numba.njit
def count_block(team, x, threshold, counts, sums):
    """Right, and slow: the counters of all threads stand side by side, in the same cache line."""
    start, stop = static_block(x.size)
    t = thread_num()
    for i in range(start, stop):
        if x[i] > threshold:
            counts[t] += 1
            sums[t] += x[i]


def count_and_sum(team, x, threshold):
    """How many elements are larger than a threshold, and their sum, by all threads of a team.

    Parameters
    ----------
    team : Team
        ``team.num_threads`` threads; ``team.parallel(body, ...)`` runs ``body(team, ...)`` on each of them.
    x : array of float64, shape (n,)
        May be empty.
    threshold : float

    Returns
    -------
    tuple of int and float
    """
    counts = np.zeros(team.num_threads, np.int64)
    sums = np.zeros(team.num_threads)
    team.parallel(count_block, x, threshold, counts, sums)
    return counts.sum(), sums.sum()
