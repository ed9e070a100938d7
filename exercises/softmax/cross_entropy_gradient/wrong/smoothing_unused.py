"""Label smoothing is left out.

status: incorrect
feedback: label_smoothing is not used
"""

import numpy as np


def cross_entropy_gradient(x, targets, label_smoothing):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), targets] -= 1
    return p / max(len(x), 1)
