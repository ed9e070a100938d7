"""The mean of all elements.

status: incorrect
feedback: divide by the number of rows only
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), targets] -= 1 - label_smoothing
    return (p - label_smoothing / x.shape[1]) / max(x.size, 1)
