"""The gradient is added to in place.

status: incorrect
feedback: gradient has changed
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient
    total += residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
