"""By size.

status: incorrect
feedback: ascending
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.argsort(-np.abs(total), kind="stable")[:k]
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
