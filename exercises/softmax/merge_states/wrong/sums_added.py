"""The sums are added without scaling.

status: incorrect
feedback: the sums are added as they are
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    return np.maximum(m1, m2), d1 + d2
