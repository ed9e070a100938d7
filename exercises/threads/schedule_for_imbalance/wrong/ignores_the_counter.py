"""The best schedule, if taking a chunk cost nothing.

status: incorrect
feedback: costs more than it gains
"""

from labkit.openmp.simulate import simulate_schedule


def choose_schedule(costs_s, num_threads, chunk_s):
    sizes = [2**k for k in range(max(len(costs_s), 1).bit_length())]
    candidates = [f"{kind},{size}" for size in sizes for kind in ("dynamic", "guided", "static")]
    return min(candidates, key=lambda s: simulate_schedule(s, costs_s, num_threads).duration_s)
