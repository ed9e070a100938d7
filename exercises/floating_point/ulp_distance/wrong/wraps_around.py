"""NumPy's int64 holds the difference.

status: incorrect
feedback: wrapped around
"""

import numpy as np


def positions(x):
    codes = x.view(np.int64)
    return np.where(codes < 0, np.int64(-(2**63)) - codes, codes)


def ulp_distance(a, b):
    return [int(steps) for steps in np.abs(positions(a) - positions(b))]
