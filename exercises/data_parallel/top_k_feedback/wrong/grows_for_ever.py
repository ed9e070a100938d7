"""The old residual counts twice.

status: incorrect
feedback: counts twice
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual += total
    residual[indices] = 0
    return indices, values
