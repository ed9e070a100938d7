"""The residual is of this gradient alone.

status: incorrect
feedback: old residual
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = gradient
    residual[indices] = 0
    return indices, values
