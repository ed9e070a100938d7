"""The new residual is a local variable.

status: incorrect
feedback: residual has not changed
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual = total.copy()
    residual[indices] = 0
    return indices, values
