"""Ordinary least squares: the largest message decides.

status: incorrect
feedback: minimum of the absolute errors
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    sizes = sizes_bytes.astype(float)
    beta, alpha = np.polyfit(sizes, times_s, 1)
    return float(alpha), float(beta)
