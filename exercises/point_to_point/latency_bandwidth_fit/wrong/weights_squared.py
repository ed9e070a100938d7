"""np.polyfit squares its weights, and they were squared already.

status: incorrect
feedback: weight is squared once more
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    beta, alpha = np.polyfit(sizes_bytes.astype(float), times_s, 1, w=1 / times_s**2)
    return float(alpha), float(beta)
