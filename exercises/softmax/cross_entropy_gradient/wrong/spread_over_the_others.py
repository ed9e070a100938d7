"""The smoothed part goes to the other classes.

status: incorrect
feedback: the right one among them
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    t = np.full_like(p, label_smoothing / max(x.shape[1] - 1, 1))
    t[np.arange(len(x)), targets] = 1 - label_smoothing
    return (p - t) / max(len(x), 1)
