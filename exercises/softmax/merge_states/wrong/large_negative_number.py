"""-inf is replaced, so that no NaN comes up.

status: incorrect
feedback: comes out as m
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m1, m2 = np.maximum(m1, -1e308), np.maximum(m2, -1e308)
    m = np.maximum(m1, m2)
    return m, d1 * np.exp(m1 - m) + d2 * np.exp(m2 - m)
