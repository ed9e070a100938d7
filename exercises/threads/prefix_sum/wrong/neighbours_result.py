"""Each thread begins with the last result of the thread before, whenever that is there.

status: incorrect
feedback: reads out[
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block


@numba.njit
def two_passes(team, x, out, sums):
    start, stop = static_block(x.size)
    for i in range(start, stop):
        out[i] = x[i] if i == 0 else out[i - 1] + x[i]


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
