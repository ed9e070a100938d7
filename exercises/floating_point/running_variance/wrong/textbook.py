"""The mean of the squares minus the square of the mean.

status: incorrect
feedback: never negative
"""

import numpy as np


def running_variance(x):
    count = np.arange(1, len(x) + 1)
    mean = np.cumsum(x) / count
    return np.cumsum(x**2) / count - mean**2
