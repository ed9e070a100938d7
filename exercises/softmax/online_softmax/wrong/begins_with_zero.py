"""The maximum begins with 0.

status: incorrect
feedback: the state begins with a maximum of 0
"""

import numpy as np


def online_softmax(x, out):
    m, d = 0.0, 0.0
    for value in x:
        new = max(m, value)
        d = d * np.exp(m - new) + np.exp(value - new)
        m = new
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
