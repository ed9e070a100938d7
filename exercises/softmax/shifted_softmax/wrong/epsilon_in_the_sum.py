"""A small number is added to the sum, against divisions by zero.

status: incorrect
feedback: no division by zero to be afraid of
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / (e.sum(axis=1, keepdims=True) + 1e-8)
