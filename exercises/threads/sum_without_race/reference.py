import numba
import numpy as np

from labkit.openmp.sync import critical_enter, critical_exit, static_block


@numba.njit
def add_block(team, x, total):
    start, stop = static_block(x.size)
    mine = 0.0
    for i in range(start, stop):
        mine += x[i]
    critical_enter(team)
    total[0] += mine
    critical_exit(team)


def parallel_sum(team, x):
    """Every thread adds up its block by itself, and its sum to the total once, in a critical section."""
    total = np.zeros(1)
    team.parallel(add_block, x, total)
    return total[0]
