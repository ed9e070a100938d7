"""Both distances are from the mean after.

status: incorrect
feedback: both distances are from the new mean
"""

import numpy as np


def running_variance(x):
    variances = np.empty(len(x))
    mean = squares = 0.0
    for k, value in enumerate(x.tolist()):
        before = value - mean
        mean += before / (k + 1)
        squares += (value - mean) ** 2
        variances[k] = squares / (k + 1)
    return variances
