import numpy as np


def scaled(d, m, new):
    """d as it counts below another maximum. Nothing stays nothing, though -inf - -inf is NaN."""
    return np.where((m == -np.inf) & (d == 0), 0.0, d * np.exp(m - new))


def merge_states(m1, d1, m2, d2):
    with np.errstate(all="ignore"):
        m = np.maximum(m1, m2)
        return m, scaled(d1, m1, m) + scaled(d2, m2, m)
