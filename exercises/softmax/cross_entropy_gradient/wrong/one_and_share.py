"""The right class keeps its 1.

status: incorrect
feedback: more than 1
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), targets] -= 1
    return (p - label_smoothing / x.shape[1]) / max(len(x), 1)
