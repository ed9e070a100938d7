"""The log-sum-exp of the whole row is calculated first, and subtracted from x.

status: incorrect
feedback: the digits are lost
"""

import numpy as np


def log_softmax(x):
    m = x.max(axis=1, keepdims=True)
    return x - (m + np.log(np.exp(x - m).sum(axis=1, keepdims=True)))
