"""Of equal elements the last ones.

status: incorrect
feedback: lower index
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(np.abs(total), kind="stable")[len(total) - k :])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
