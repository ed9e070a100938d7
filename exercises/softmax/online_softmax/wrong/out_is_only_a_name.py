"""The result gets the name out, and is lost.

status: incorrect
feedback: a new meaning to the name
"""

import numpy as np


def online_softmax(x, out):
    e = np.exp(x - x.max(initial=-np.inf))
    out = e / e.sum()
