"""The maximum of the whole array is subtracted.

status: incorrect
feedback: each row needs its own maximum
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum(axis=1, keepdims=True)
