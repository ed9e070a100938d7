"""Which to send is decided by the gradient alone.

status: incorrect
feedback: chosen by
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(gradient), kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
