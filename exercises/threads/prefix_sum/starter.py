import numba
import numpy as np

from labkit.openmp.sync import barrier, num_threads, static_block, thread_num


def prefix_sum(team, x, out):
    """The sums of the first 1, 2, ..., n elements, by all threads of a team.

    Parameters
    ----------
    team : Team
        ``team.num_threads`` threads; ``team.parallel(body, ...)`` runs ``body(team, ...)`` on each of them.
    x : array of float64, shape (n,)
        May be empty.
    out : array of float64, shape (n,)
        Filled with the sums: ``out[i] = x[0] + ... + x[i]``.
    """
    raise NotImplementedError
