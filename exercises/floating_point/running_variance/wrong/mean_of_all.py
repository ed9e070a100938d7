"""The mean of the whole array is used from the start.

status: incorrect
feedback: still to come
"""

import numpy as np


def running_variance(x):
    distances = x - x.mean() if len(x) else x
    return np.cumsum(distances**2) / np.arange(1, len(x) + 1)
