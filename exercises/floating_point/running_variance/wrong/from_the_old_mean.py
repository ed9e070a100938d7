"""Both distances are from the mean before.

status: incorrect
feedback: both distances are from the old mean
"""

import numpy as np


def running_variance(x):
    variances = np.empty(len(x))
    mean = squares = 0.0
    for k, value in enumerate(x.tolist()):
        before = value - mean
        mean += before / (k + 1)
        squares += before * before
        variances[k] = squares / (k + 1)
    return variances
