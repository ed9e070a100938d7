"""The factor is exp(m - m1).

status: incorrect
feedback: the factor is turned round
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    return m, d1 * np.exp(m - m1) + d2 * np.exp(m - m2)
