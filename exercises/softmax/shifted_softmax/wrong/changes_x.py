"""The maximum is subtracted in place.

status: incorrect
feedback: it belongs to the caller
"""

import numpy as np


def softmax(x):
    x -= x.max(axis=1, keepdims=True, initial=-np.inf)
    e = np.exp(x.astype(np.float32) if x.dtype == np.float16 else x)
    return (e / e.sum(axis=1, keepdims=True)).astype(x.dtype)
