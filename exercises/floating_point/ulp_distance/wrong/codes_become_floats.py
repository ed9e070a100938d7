"""Positions are kept in an array of float64.

status: incorrect
feedback: keep 53 bits
"""

import numpy as np


def positions(x):
    codes = x.view(np.uint64)
    magnitudes = (codes & np.uint64(2**63 - 1)).astype(np.float64)
    return np.where(codes >> np.uint64(63), -magnitudes, magnitudes)


def ulp_distance(a, b):
    return [int(steps) for steps in abs(positions(a) - positions(b))]
