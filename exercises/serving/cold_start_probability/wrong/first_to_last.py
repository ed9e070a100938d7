"""The rate between first and last.

status: incorrect
feedback: first to the last
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
        idle_from.append(arrival + (warm_ms if idle else cold_ms))
    if len(arrivals_ms) < 2:
        return cold, 1.0
    return cold, math.exp(-(len(arrivals_ms) - 1) / (arrivals_ms[-1] - arrivals_ms[0]) * keep_alive_ms)
