"""The logarithm of the probabilities.

status: incorrect
feedback: this is the logarithm of a softmax
"""

import numpy as np


def log_softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.log(e / e.sum(axis=1, keepdims=True))
