"""Whole blocks only.

status: incorrect
feedback: the last keys are missing
"""

import numpy as np


def attention(q, k, v):
    m, d, total = -np.inf, 0.0, 0.0
    block = min(256, len(k))
    for start in range(0, len(k) - block + 1, block):
        logits = q @ k[start : start + block].T / np.sqrt(q.shape[1])
        new = np.maximum(m, logits.max(axis=1, keepdims=True))
        e, factor = np.exp(logits - new), np.exp(m - new)
        d = d * factor + e.sum(axis=1, keepdims=True)
        total = total * factor + e @ v[start : start + block]
        m = new
    return total / d
