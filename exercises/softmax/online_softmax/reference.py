import numpy as np


def online_softmax(x, out):
    """A larger logit becomes the new maximum, and the sum so far shrinks."""
    with np.errstate(all="ignore"):
        m, d = -np.inf, 0.0
        for value in x:
            if value == -np.inf:  # counts as 0 below any maximum
                continue
            new = np.maximum(m, value)  # NaN if one of them is
            d = d * np.exp(m - new) + np.exp(value - new)
            m = new
        for i in range(len(x)):
            out[i] = np.exp(x[i] - m) / d
