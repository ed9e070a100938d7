"""Only those who got an answer.

status: incorrect
feedback: left out
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    answered = ~np.isnan(done_s)
    latency_s = np.sort(done_s[answered] - scheduled_s[answered])
    if not latency_s.size:
        return [math.inf for p in permille]
    return [float(latency_s[-(-p * len(latency_s) // 1000) - 1]) for p in permille]
