"""The residual is never added.

status: incorrect
feedback: not been added
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient.copy()
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
