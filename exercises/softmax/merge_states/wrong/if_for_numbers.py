"""An if that fits single numbers.

status: crashed
feedback: work element by element
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    if m1 > m2:
        return m1, d1 + d2 * np.exp(m2 - m1)
    return m2, d2 + d1 * np.exp(m1 - m2)
