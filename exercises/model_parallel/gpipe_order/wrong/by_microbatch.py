"""The actions of a tick in the order of their micro-batches.

status: incorrect
feedback: in the order of their stages
"""


def gpipe_ticks(num_stages, num_microbatches):
    n, numbers = num_stages + num_microbatches - 1, range(num_microbatches)
    ticks = [[f"{t - j}F{j}" for j in numbers if 0 <= t - j < num_stages] for t in range(n)]
    return ticks + [[f"{t - j}B{j}" for j in numbers if 0 <= t - j < num_stages] for t in reversed(range(n))]
