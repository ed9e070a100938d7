"""Coordinated omission.

status: incorrect
feedback: count from scheduled_s
"""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - sent_s))
    return [float(latency_s[-(-p * len(latency_s) // 1000) - 1]) for p in permille]
