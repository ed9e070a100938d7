"""The odd one is appended, which copies the level.

status: over budget
feedback: in a variable instead
"""

import numpy as np


def pairwise_sum(x):
    while len(x) > 1:
        half = len(x) // 2
        sums = x[0 : 2 * half : 2] + x[1 : 2 * half : 2]
        x = np.append(sums, x[-1]) if len(x) % 2 else sums
    return x[0] if len(x) else x.dtype.type(0)
