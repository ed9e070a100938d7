"""The maximum is subtracted in the exponentials, and not from the logits.

status: incorrect
feedback: too large by m
"""

import numpy as np


def log_softmax(x):
    m = x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x - m).sum(axis=1, keepdims=True))
