"""The gradient is made in the array of the logits.

status: incorrect
feedback: an argument has changed
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    x[:] = p
    x[np.arange(len(x)), targets] -= 1 - label_smoothing
    return (x - label_smoothing / x.shape[1]) / max(len(x), 1)
