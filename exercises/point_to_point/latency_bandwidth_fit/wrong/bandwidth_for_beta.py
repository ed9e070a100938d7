"""The bandwidth is returned instead of its inverse.

status: incorrect
feedback: beta is its inverse
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    beta, alpha = np.polyfit(sizes_bytes.astype(float), times_s, 1, w=1 / times_s)
    return float(alpha), float(1 / beta)
