"""The maximum of the whole array.

status: incorrect
feedback: each row needs its own maximum
"""

import numpy as np


def log_softmax(x):
    shifted = x - x.max()
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
