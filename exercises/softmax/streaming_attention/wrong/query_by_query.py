"""A loop over queries: little memory, and K and V are read for each of them.

status: over budget
feedback: a block of keys serves all queries
"""

import numpy as np


def attention(q, k, v):
    rows = []
    for query in q:
        x = k @ query / np.sqrt(q.shape[1])
        e = np.exp(x - x.max())
        rows.append(e @ v / e.sum())
    return np.stack(rows)
