"""The maximum of no columns raises.

status: crashed
feedback: initial=-np.inf
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
