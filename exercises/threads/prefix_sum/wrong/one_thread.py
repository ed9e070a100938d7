"""Thread 0 does it all.

status: over budget
feedback: One thread does all the work
"""

import numba
import numpy as np

from labkit.openmp.sync import thread_num


@numba.njit
def two_passes(team, x, out, sums):
    if thread_num() == 0:
        so_far = 0.0
        for i in range(x.size):
            so_far += x[i]
            out[i] = so_far


def prefix_sum(team, x, out):
    team.parallel(two_passes, x, out, np.zeros(team.num_threads))
