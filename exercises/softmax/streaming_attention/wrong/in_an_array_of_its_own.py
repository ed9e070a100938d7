"""The total is collected in a plain array.

status: crashed
feedback: total = total * factor
"""

import numpy as np


def attention(q, k, v):
    m, d, total = np.full((len(q), 1), -np.inf), np.zeros((len(q), 1)), np.zeros((len(q), v.shape[1]))
    for start in range(0, len(k), 256):
        logits = q @ k[start : start + 256].T / np.sqrt(q.shape[1])
        new = np.maximum(m, logits.max(axis=1, keepdims=True))
        e, factor = np.exp(logits - new), np.exp(m - new)
        d = d * factor + e.sum(axis=1, keepdims=True)
        total *= factor
        total += e @ v[start : start + 256]
        m = new
    return total / d
