"""A cold request is as short as a warm one.

status: incorrect
feedback: busy for cold_ms
"""

import math


def cold_start_probability(arrivals_ms, warm_ms, cold_ms, keep_alive_ms, observed_ms):
    idle_from, cold = [], []
    for arrival in arrivals_ms:
        idle_from = [moment for moment in idle_from if arrival - moment <= keep_alive_ms]
        idle = [moment for moment in idle_from if moment <= arrival]
        cold.append(not idle)
        if idle:
            idle_from.remove(max(idle))
        idle_from.append(arrival + warm_ms)
    return cold, math.exp(-len(arrivals_ms) / observed_ms * keep_alive_ms)
