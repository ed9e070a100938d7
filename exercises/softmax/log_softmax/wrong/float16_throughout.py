"""Everything is calculated in float16.

status: incorrect
feedback: calculate in float32
"""

import numpy as np


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
