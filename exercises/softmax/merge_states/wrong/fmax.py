"""A maximum that overlooks NaN.

status: incorrect
feedback: a nan was hidden
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.fmax(m1, m2)
    first = np.where(m1 == -np.inf, 0.0, d1 * np.exp(m1 - m))
    second = np.where(m2 == -np.inf, 0.0, d2 * np.exp(m2 - m))
    return m, first + second
