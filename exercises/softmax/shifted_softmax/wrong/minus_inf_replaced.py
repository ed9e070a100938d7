"""-inf is replaced by a large negative number.

status: incorrect
feedback: equally likely
"""

import numpy as np


def softmax(x):
    x = np.where(x == -np.inf, -1e30, x)
    e = np.exp(x - x.max(axis=1, keepdims=True, initial=-1e30))
    return e / e.sum(axis=1, keepdims=True)
