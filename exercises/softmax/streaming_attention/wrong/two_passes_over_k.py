"""First the maxima of all blocks, then the sums.

status: over budget
feedback: come from the same pass
"""

import numpy as np


def attention(q, k, v):
    q = q / np.sqrt(q.shape[1])
    m = -np.inf
    for start in range(0, len(k), 256):
        m = np.maximum(m, (q @ k[start : start + 256].T).max(axis=1, keepdims=True))
    d, total = 0.0, 0.0
    for start in range(0, len(k), 256):
        e = np.exp(q @ k[start : start + 256].T - m)
        d = d + e.sum(axis=1, keepdims=True)
        total = total + e @ v[start : start + 256]
    return total / d
