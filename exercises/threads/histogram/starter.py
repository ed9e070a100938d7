import numba
import numpy as np

from labkit.openmp.sync import atomic_add, barrier, critical_enter, critical_exit, num_threads, static_block, thread_num


def histogram(team, data, num_bins):
    """How often each number occurs, counted by all threads of a team.

    Parameters
    ----------
    team : Team
        ``team.num_threads`` threads; ``team.parallel(body, ...)`` runs ``body(team, ...)`` on each of them.
    data : array of int64, shape (n,)
        Numbers from 0 to ``num_bins - 1``; may be empty.
    num_bins : int
        At least 1.

    Returns
    -------
    array of int64, shape (num_bins,)
    """
    raise NotImplementedError
