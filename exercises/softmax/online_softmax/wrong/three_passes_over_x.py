"""First the maximum, then the sum.

status: over budget
feedback: one pass too many
"""

import numpy as np


def online_softmax(x, out):
    m, d = -np.inf, 0.0
    for value in x:
        m = np.maximum(m, value)
    for value in x:
        d += np.exp(value - m)
    for i in range(len(x)):
        out[i] = np.exp(x[i] - m) / d
