"""Without a bound, everybody.

status: incorrect
feedback: begin nothing
"""

import numpy as np


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None:
        return np.ones(len(clocks), bool)
    if not left.any():
        return left
    return left & (clocks - clocks[left].min() <= bound)
