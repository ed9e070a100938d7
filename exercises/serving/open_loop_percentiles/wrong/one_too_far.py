"""Counted from 1, indexed from 0.

status: incorrect
feedback: one too far
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - scheduled_s))

    return [float(latency_s[min(math.ceil(p * len(latency_s) / 1000), len(latency_s) - 1)]) for p in permille]
