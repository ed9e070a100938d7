"""Maximum and sum go along the wrong axis.

status: incorrect
feedback: the columns were normalised
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)
