"""The mean of the blocks' results.

status: incorrect
feedback: averages of blocks cannot be added up
"""

import numpy as np


def attention(q, k, v):
    found = []
    for start in range(0, len(k), 256):
        x = q @ k[start : start + 256].T / np.sqrt(q.shape[1])
        e = np.exp(x - x.max(axis=1, keepdims=True))
        found.append(e @ v[start : start + 256] / e.sum(axis=1, keepdims=True))
    return sum(found) / len(found)
