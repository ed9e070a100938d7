"""A tick of rest between the forwards and the backwards.

status: incorrect
feedback: in which nothing runs
"""


def gpipe_ticks(num_stages, num_microbatches):
    n, stages = num_stages + num_microbatches - 1, range(num_stages)
    ticks = [[f"{s}F{t - s}" for s in stages if 0 <= t - s < num_microbatches] for t in range(n)]
    ticks.append([])
    return ticks + [[f"{s}B{t - s}" for s in stages if 0 <= t - s < num_microbatches] for t in reversed(range(n))]
