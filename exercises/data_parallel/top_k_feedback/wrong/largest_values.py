"""Large negative elements are kept back.

status: incorrect
feedback: absolute value
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-total, kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
