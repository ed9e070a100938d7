"""What is not sent is lost.

status: incorrect
feedback: is lost
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = 0
    residual[indices] = 0
    return indices, values
