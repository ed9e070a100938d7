"""Exponentials are written in the first pass.

status: incorrect
feedback: while the maximum was still growing
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for i in range(len(x)):
        value = x[i]
        new = max(m, value)
        d = d * np.exp(m - new) + np.exp(value - new)
        m = new
        out[i] = np.exp(value - m)
    for i in range(len(x)):
        out[i] /= d
