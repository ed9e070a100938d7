"""Only the total is scaled to a new maximum.

status: incorrect
feedback: both get the factor
"""

import numpy as np


def attention(q, k, v):
    m, d, total = -np.inf, 0.0, 0.0
    for start in range(0, len(k), 256):
        logits = q @ k[start : start + 256].T / np.sqrt(q.shape[1])
        new = np.maximum(m, logits.max(axis=1, keepdims=True))
        e, factor = np.exp(logits - new), np.exp(m - new)
        d = d + e.sum(axis=1, keepdims=True)
        total = total * factor + e @ v[start : start + 256]
        m = new
    return total / d
