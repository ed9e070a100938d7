"""The square root is taken.

status: incorrect
feedback: standard deviation
"""

import numpy as np


def running_variance(x):
    variances = np.empty(len(x))
    mean = squares = 0.0
    for k, value in enumerate(x.tolist()):
        before = value - mean
        mean += before / (k + 1)
        squares += before * (value - mean)
        variances[k] = (squares / (k + 1)) ** 0.5
    return variances
