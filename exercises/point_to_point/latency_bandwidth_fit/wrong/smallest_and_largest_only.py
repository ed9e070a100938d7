"""A line through two of the points.

status: incorrect
feedback: smallest and the largest message only
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    first, last = np.argmin(sizes_bytes), np.argmax(sizes_bytes)
    beta = (times_s[last] - times_s[first]) / float(sizes_bytes[last] - sizes_bytes[first])
    return float(times_s[first] - beta * sizes_bytes[first]), float(beta)
