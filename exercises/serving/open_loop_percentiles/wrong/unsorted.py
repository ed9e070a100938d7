"""In the order in which they came.

status: incorrect
feedback: not sorted
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.where(np.isnan(done_s), math.inf, done_s - scheduled_s)
    return [float(latency_s[-(-p * len(latency_s) // 1000) - 1]) for p in permille]
