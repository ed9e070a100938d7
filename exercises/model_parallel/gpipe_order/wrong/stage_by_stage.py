"""A stage runs all micro-batches before the next one begins.

status: incorrect
feedback: one action a tick
"""


def gpipe_ticks(num_stages, num_microbatches):
    ticks = [[f"{s}F{j}"] for s in range(num_stages) for j in range(num_microbatches)]
    for s in reversed(range(num_stages)):
        ticks += [[f"{s}B{j}"] for j in reversed(range(num_microbatches))]
    return ticks
