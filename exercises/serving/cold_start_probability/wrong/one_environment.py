"""The gap to the last request decides.

status: incorrect
feedback: needs another one
"""

import math


def cold_start_probability(arrivals_ms, warm_ms, cold_ms, keep_alive_ms, observed_ms):
    idle_from, cold = -math.inf, []
    for arrival in arrivals_ms:
        cold.append(arrival - idle_from > keep_alive_ms)
        idle_from = arrival + (cold_ms if cold[-1] else warm_ms)
    return cold, math.exp(-len(arrivals_ms) / observed_ms * keep_alive_ms)
