"""Stages and micro-batches counted from 1.

status: incorrect
feedback: count from 0
"""


def gpipe_ticks(num_stages, num_microbatches):
    n, stages = num_stages + num_microbatches - 1, range(num_stages)
    ticks = [[f"{s + 1}F{t - s + 1}" for s in stages if 0 <= t - s < num_microbatches] for t in range(n)]
    back = [[f"{s + 1}B{t - s + 1}" for s in stages if 0 <= t - s < num_microbatches] for t in reversed(range(n))]
    return ticks + back
