"""Maximum and sum lose a dimension.

status: crashed
feedback: keepdims=True makes them (n, 1)
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=1))
    return e / e.sum(axis=1)
