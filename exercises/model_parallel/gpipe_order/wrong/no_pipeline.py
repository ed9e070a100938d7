"""A micro-batch passes through all stages before the next one begins.

status: incorrect
feedback: without a pipeline
"""


def gpipe_ticks(num_stages, num_microbatches):
    ticks = [[f"{s}F{j}"] for j in range(num_microbatches) for s in range(num_stages)]
    for j in reversed(range(num_microbatches)):
        ticks += [[f"{s}B{j}"] for s in reversed(range(num_stages))]
    return ticks
