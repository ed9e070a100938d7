"""A logit of +inf becomes the maximum, and the others get 0.

status: incorrect
feedback: let d become nan
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        if value == -np.inf:
            continue
        if value > m:
            d = d * np.exp(m - value) + 1.0
            m = value
        else:
            d += np.exp(value - m)
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
