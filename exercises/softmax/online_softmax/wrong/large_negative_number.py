"""The maximum begins with a large negative number.

status: incorrect
feedback: all classes equally likely
"""

import numpy as np


def online_softmax(x, out):
    m, d = -1e308, 0.0
    for value in x:
        value = np.maximum(value, -1e308)
        new = np.maximum(m, value)
        d = d * np.exp(m - new) + np.exp(value - new)
        m = new
    for i in range(len(x)):
        out[i] = np.exp(np.maximum(x[i], -1e308) - m) / d
