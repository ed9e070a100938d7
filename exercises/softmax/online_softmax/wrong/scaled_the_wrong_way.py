"""The factor is exp(new - old).

status: incorrect
feedback: the wrong way round
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        if value > m:
            d = (d * np.exp(value - m) if d else 0.0) + 1.0
            m = value
        else:
            d += np.exp(value - m)
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
