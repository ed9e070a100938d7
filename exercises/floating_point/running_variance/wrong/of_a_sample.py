"""Divides by one less.

status: incorrect
feedback: less one
"""

import numpy as np


def running_variance(x):
    variances = np.empty(len(x))
    mean = squares = 0.0
    for k, value in enumerate(x.tolist()):
        before = value - mean
        mean += before / (k + 1)
        squares += before * (value - mean)
        variances[k] = squares / max(k, 1)
    return variances
