"""Softmax by the formula.

status: incorrect
feedback: subtract the row's maximum
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x)
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), targets] -= 1 - label_smoothing
    return (p - label_smoothing / x.shape[1]) / max(len(x), 1)
