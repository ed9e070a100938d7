"""The states of the first part are overwritten.

status: incorrect
feedback: an argument has changed
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    d1 *= np.exp(m1 - m)
    return m, d1 + d2 * np.exp(m2 - m)
