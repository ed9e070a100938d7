"""As NumPy does it by default.

status: incorrect
feedback: interpolates
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - scheduled_s))

    return [float(np.percentile(latency_s, p / 10)) for p in permille]
