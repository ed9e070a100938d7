"""Everything is calculated in float16.

status: incorrect
feedback: calculate in float32
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)
