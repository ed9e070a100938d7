import numba
import numpy as np

from labkit.openmp.sync import barrier, critical_enter, critical_exit, num_threads, static_block, thread_num


@numba.njit
def add_block(team, x, total):
    """What every thread runs: it adds the elements of its block to ``total[0]``. All threads at once: a race."""
    start, stop = static_block(x.size)
    for i in range(start, stop):
        total[0] += x[i]


def parallel_sum(team, x):
    """The sum of an array, by all threads of a team.

    Parameters
    ----------
    team : Team
        ``team.num_threads`` threads; ``team.parallel(body, ...)`` runs ``body(team, ...)`` on each of them.
    x : array of float64, shape (n,)
        May be empty.

    Returns
    -------
    float
    """
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
