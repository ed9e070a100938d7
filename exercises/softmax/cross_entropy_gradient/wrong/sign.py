"""Targets minus probabilities.

status: incorrect
feedback: the sign is turned round
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    t = np.full_like(p, label_smoothing / x.shape[1])
    t[np.arange(len(x)), targets] += 1 - label_smoothing
    return (t - p) / max(len(x), 1)
