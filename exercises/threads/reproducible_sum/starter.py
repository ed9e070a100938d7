import numba
import numpy as np

from labkit.openmp.sync import barrier, num_threads, static_block, thread_num

BLOCK = 64  # elements


def reproducible_sum(team, x):
    """The sum of an array, with the same bits for any number of threads.

    Parameters
    ----------
    team : Team
        ``team.num_threads`` threads; ``team.parallel(body, ...)`` runs ``body(team, ...)`` on each of them.
    x : array of float64, shape (n,)
        May be empty.

    Returns
    -------
    float
        Blocks of 64 elements are added from left to right, each beginning with 0.0, and then the sums of the blocks
        from left to right.
    """
    raise NotImplementedError
