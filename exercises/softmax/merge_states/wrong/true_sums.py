"""The sums of exponentials themselves are added.

status: incorrect
feedback: exp of a maximum overflows
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    return m, (np.exp(m1) * d1 + np.exp(m2) * d2) / np.exp(m)
