"""Nothing is scaled.

status: incorrect
feedback: what was there has to shrink
"""

import numpy as np


def attention(q, k, v):
    m, d, total = -np.inf, 0.0, 0.0
    for start in range(0, len(k), 256):
        logits = q @ k[start : start + 256].T / np.sqrt(q.shape[1])
        new = np.maximum(m, logits.max(axis=1, keepdims=True))
        e = np.exp(logits - new)
        d = d + e.sum(axis=1, keepdims=True)
        total = total + e @ v[start : start + 256]
        m = new
    return total / d
