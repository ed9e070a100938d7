"""A slice from -0 is everything.

status: incorrect
feedback: [-0:]
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(len(total) - 1 - np.argsort(np.abs(total)[::-1], kind="stable")[-k:])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
