"""Hundredths instead of thousandths.

status: crashed
feedback: thousandths, not hundredths
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - scheduled_s))

    return [float(latency_s[-(-p * len(latency_s) // 100) - 1]) for p in permille]
