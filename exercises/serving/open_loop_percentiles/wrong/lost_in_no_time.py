"""NaN becomes 0.

status: incorrect
feedback: no time
"""

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    latency_s = np.sort(np.nan_to_num(done_s - scheduled_s))
    return [float(latency_s[-(-p * len(latency_s) // 1000) - 1]) for p in permille]
