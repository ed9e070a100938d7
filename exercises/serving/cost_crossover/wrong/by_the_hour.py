"""An hour's price for a month.

status: incorrect
feedback: 730 hours
"""

import numpy as np


def cost_crossover(num_requests, memory_mb, durations_ms, instance_usd_per_hour):
    gb_s = memory_mb / 1024 * float(np.mean(np.ceil(durations_ms))) / 1000
    memory_usd = max(0.0, num_requests * gb_s - 400_000) * 0.00001667
    bill = memory_usd + max(0, num_requests - 1_000_000) * 0.20 / 1e6
    usd = instance_usd_per_hour
    a, b = gb_s * 0.00001667, 0.20 / 1e6
    free_a, free_b = 400_000 * 0.00001667, 0.20
    return bill, min((usd + free_a) / a, (usd + free_b) / b, (usd + free_a + free_b) / (a + b))
