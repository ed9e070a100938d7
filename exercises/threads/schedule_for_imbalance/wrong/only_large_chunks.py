"""Dynamic with three chunks a thread, or static if chunks are expensive.

status: incorrect
feedback: The last chunks are too long
"""

from labkit.openmp.simulate import simulate_schedule


def choose_schedule(costs_s, num_threads, chunk_s):
    size = max(len(costs_s) // (3 * num_threads), 1)
    candidates = ["static", f"dynamic,{size}"]
    return min(candidates, key=lambda s: simulate_schedule(s, costs_s, num_threads, chunk_s=chunk_s).duration_s)
