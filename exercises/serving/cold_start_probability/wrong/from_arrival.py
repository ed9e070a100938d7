"""The keep-alive time counts from the arrival.

status: incorrect
feedback: counts from the arrival
"""

import math


def cold_start_probability(arrivals_ms, warm_ms, cold_ms, keep_alive_ms, observed_ms):
    idle_from, cold = [], []
    for arrival in arrivals_ms:
        idle_from = [pair for pair in idle_from if arrival - pair[1] <= keep_alive_ms]
        idle = [pair for pair in idle_from if pair[0] <= arrival]
        cold.append(not idle)
        if idle:
            idle_from.remove(max(idle))
        idle_from.append((arrival + (warm_ms if idle else cold_ms), arrival))
    return cold, math.exp(-len(arrivals_ms) / observed_ms * keep_alive_ms)
