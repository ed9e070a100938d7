"""What is sent stays in the residual.

status: incorrect
feedback: sent again
"""

import numpy as np


def top_k(gradient, residual, k):
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    return indices, values
