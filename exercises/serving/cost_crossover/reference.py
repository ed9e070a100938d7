"""The bill is the largest of four straight lines, so it reaches a price where the first of them does."""

import numpy as np

USD_PER_GB_S, USD_PER_REQUEST = 0.00001667, 0.20 / 1e6
FREE_GB_S, FREE_REQUESTS = 400_000, 1_000_000


def cost_crossover(num_requests, memory_mb, durations_ms, instance_usd_per_hour):
    gb_s = memory_mb / 1024 * float(np.mean(np.ceil(durations_ms))) / 1000
    memory_usd = max(0.0, num_requests * gb_s - FREE_GB_S) * USD_PER_GB_S
    bill = memory_usd + max(0, num_requests - FREE_REQUESTS) * USD_PER_REQUEST

    target = 730 * instance_usd_per_hour
    slopes = gb_s * USD_PER_GB_S, USD_PER_REQUEST
    free = FREE_GB_S * USD_PER_GB_S, FREE_REQUESTS * USD_PER_REQUEST
    lines = [*zip(slopes, free, strict=True), (sum(slopes), sum(free))]
    return bill, min((target + usd) / slope for slope, usd in lines)
