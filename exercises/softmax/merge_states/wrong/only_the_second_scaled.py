"""The first maximum is taken for the larger one.

status: incorrect
feedback: only the second sum is scaled
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    return m, d1 + d2 * np.exp(m2 - m)
