"""The formula, with the matrix.

status: crashed
feedback: does not fit into memory
"""

import numpy as np


def attention(q, k, v):
    x = q @ k.T / np.sqrt(q.shape[1])
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)
