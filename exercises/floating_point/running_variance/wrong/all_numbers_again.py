"""Every variance from the beginning.

status: timed out
feedback: from all numbers again
"""

import numpy as np


def running_variance(x):
    return np.array([x[: k + 1].var() for k in range(len(x))])
