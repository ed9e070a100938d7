"""NumPy adds up, and the team does nothing.

status: incorrect
feedback: the team has run nothing
"""

import numba
import numpy as np

from labkit.openmp.sync import static_block





def parallel_sum(team, x):
    return float(np.sum(x))
