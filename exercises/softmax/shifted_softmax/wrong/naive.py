"""The formula as it stands.

status: incorrect
feedback: inf / inf is NaN
"""

import numpy as np


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)
