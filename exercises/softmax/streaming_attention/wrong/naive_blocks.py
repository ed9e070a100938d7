"""Blocks without a maximum.

status: incorrect
feedback: exp of a logit of thousands overflows
"""

import numpy as np


def attention(q, k, v):
    d, total = 0.0, 0.0
    for start in range(0, len(k), 256):
        e = np.exp(q @ k[start : start + 256].T / np.sqrt(q.shape[1]))
        d = d + e.sum(axis=1, keepdims=True)
        total = total + e @ v[start : start + 256]
    return total / d
