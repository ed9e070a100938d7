"""Backwards in the order of the forwards.

status: incorrect
feedback: the last micro-batch comes back first
"""


def gpipe_ticks(num_stages, num_microbatches):
    n, stages = num_stages + num_microbatches - 1, range(num_stages)
    ticks = [[f"{s}F{t - s}" for s in stages if 0 <= t - s < num_microbatches] for t in range(n)]
    for t in range(n):
        places = [(s, t - (num_stages - 1 - s)) for s in stages]
        ticks.append([f"{s}B{j}" for s, j in places if 0 <= j < num_microbatches])
    return ticks
