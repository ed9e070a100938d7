"""Each thread adds up all elements before its block by itself.

status: over budget
feedback: each does all of it
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def two_passes(team, x, out, sums):
    start, stop = static_block(x.size)
    so_far = 0.0
    for i in range(start):
        so_far += x[i]
    for i in range(start, stop):
        so_far += x[i]
        out[i] = so_far


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
