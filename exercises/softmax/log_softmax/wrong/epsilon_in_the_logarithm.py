"""A small number keeps log(0) away.

status: incorrect
feedback: unlikely classes all get the same logarithm
"""

import numpy as np


def log_softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.log(e / e.sum(axis=1, keepdims=True) + 1e-300)
