import numpy as np

BLOCK = 256  # keys


def attention(q, k, v):
    """m, d and total of the keys so far; a block with a larger maximum scales what is there."""
    m, d, total = -np.inf, 0.0, 0.0
    queries = q / np.sqrt(q.shape[1])
    for start in range(0, len(k), BLOCK):
        logits = queries @ k[start : start + BLOCK].T
        new = np.maximum(m, logits.max(axis=1, keepdims=True))
        e = np.exp(logits - new)
        factor = np.exp(m - new)
        d = d * factor + e.sum(axis=1, keepdims=True)
        total = total * factor + e @ v[start : start + BLOCK]
        m = new
    return total / d
