"""NaN is sorted to the end and stays.

status: incorrect
feedback: NaN among the results
"""

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(done_s - scheduled_s)
    return [float(latency_s[-(-p * len(latency_s) // 1000) - 1]) for p in permille]
