"""Sorted, and rounded up in whole numbers: the rank of p thousandths of n is ceil(p n / 1000)."""

import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.where(np.isnan(done_s), math.inf, done_s - scheduled_s))
    ranks = [-(-p * len(latency_s) // 1000) for p in permille]
    return [float(latency_s[rank - 1]) for rank in ranks]
