"""The numbers are returned in the order of np.polyfit, slope first.

status: incorrect
feedback: wrong order
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    beta, alpha = np.polyfit(sizes_bytes.astype(float), times_s, 1, w=1 / times_s)
    return float(beta), float(alpha)
