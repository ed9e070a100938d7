"""Single precision.

status: incorrect
feedback: stay with float64
"""

import numpy as np


def running_variance(x):
    variances = np.empty(len(x))
    mean = squares = 0.0
    for k, value in enumerate(x.astype(np.float32).tolist()):
        before = value - mean
        mean += before / (k + 1)
        squares += before * (value - mean)
        variances[k] = squares / (k + 1)
    return variances
