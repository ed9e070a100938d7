"""The formula as it stands.

status: incorrect
feedback: overflows in the sum
"""

import numpy as np


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))
