"""The second half is added to the first.

status: incorrect
feedback: halves, not neighbours
"""

import numpy as np


def pairwise_sum(x):
    while len(x) > 1:
        half = len(x) // 2
        sums = x[:half] + x[half : 2 * half]
        x = np.append(sums, x[-1]) if len(x) % 2 else sums
    return x[0] if len(x) else x.dtype.type(0)
