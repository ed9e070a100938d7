"""Backwards begin where the forwards began.

status: incorrect
feedback: the loss is on the last stage
"""


def gpipe_ticks(num_stages, num_microbatches):
    n, stages = num_stages + num_microbatches - 1, range(num_stages)
    ticks = [[f"{s}F{t - s}" for s in stages if 0 <= t - s < num_microbatches] for t in range(n)]
    for t in range(n):
        places = [(s, num_microbatches - 1 - (t - s)) for s in stages]
        ticks.append([f"{s}B{j}" for s, j in places if 0 <= j < num_microbatches])
    return ticks
