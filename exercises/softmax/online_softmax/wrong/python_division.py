"""Python's numbers raise for 0 / 0.

status: crashed
feedback: fill out with nan
"""

import math


def online_softmax(x, out):
    m, d = -math.inf, 0.0
    for value in x:
        value = float(value)
        if value == -math.inf:
            continue
        new = max(m, value)
        d = d * math.exp(m - new) + math.exp(value - new)
        m = new
    for i in range(len(x)):
        out[i] = math.exp(float(x[i]) - m) / d
