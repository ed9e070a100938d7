"""Maximum and sum lose a dimension.

status: crashed
feedback: keepdims=True makes them (n, 1)
"""

import numpy as np


def log_softmax(x):
    shifted = x - x.max(axis=1)
    return shifted - np.log(np.exp(shifted).sum(axis=1))
