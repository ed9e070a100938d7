"""The sum stays when the maximum grows.

status: incorrect
feedback: the sum so far stays as it was
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        m = max(m, value)
        d += np.exp(value - m)
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
