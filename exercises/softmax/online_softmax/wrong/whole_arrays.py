"""NumPy on the whole row.

status: over budget
feedback: each is written and read again
"""

import numpy as np


def online_softmax(x, out):
    e = np.exp(x - x.max(initial=-np.inf))
    out[:] = e / e.sum()
