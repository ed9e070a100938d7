"""-inf is a logit like any other.

status: incorrect
feedback: -inf - -inf is nan
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        new = np.maximum(m, value)
        d = d * np.exp(m - new) + np.exp(value - new)
        m = new
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
