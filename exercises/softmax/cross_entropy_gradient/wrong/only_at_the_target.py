"""The other logits get no gradient.

status: incorrect
feedback: also where t is 0
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    gradient = np.zeros_like(p)
    rows = np.arange(len(x))
    gradient[rows, targets] = p[rows, targets] - 1
    return gradient / max(len(x), 1)
