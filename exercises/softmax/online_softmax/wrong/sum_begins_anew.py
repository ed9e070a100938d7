"""With a new maximum the sum is forgotten.

status: incorrect
feedback: the sum begins anew
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        if value > m:
            m, d = value, 1.0
        else:
            d += np.exp(value - m)
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
