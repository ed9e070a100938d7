"""The slowest of those that are left, and a distance from it."""

import numpy as np


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    slowest = np.min(clocks[left])
    return left & (clocks - slowest <= bound)
