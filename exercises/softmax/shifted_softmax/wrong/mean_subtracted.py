"""The mean of the row is subtracted.

status: incorrect
feedback: the mean is not enough
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.mean(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
