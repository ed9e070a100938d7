"""Empty parts are not looked at.

status: incorrect
feedback: give an empty part the contribution 0
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    return m, d1 * np.exp(m1 - m) + d2 * np.exp(m2 - m)
