import numpy as np


def top_k(gradient, residual, k):
    """A stable sort keeps equal elements in the order of their indices."""
    total = gradient + residual
    indices = np.sort(np.argsort(-np.abs(total), kind="stable")[:k])
    values = total[indices]
    residual[:] = total
    residual[indices] = 0
    return indices, values
