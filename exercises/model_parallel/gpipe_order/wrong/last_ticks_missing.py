"""As many ticks as micro-batches.

status: incorrect
feedback: the number of ticks
"""


def gpipe_ticks(num_stages, num_microbatches):
    stages, ticks = range(num_stages), []
    for t in range(num_microbatches):
        ticks.append([f"{s}F{t - s}" for s in stages if 0 <= t - s])
    for t in reversed(range(num_microbatches)):
        ticks.append([f"{s}B{t - s}" for s in stages if 0 <= t - s])
    return ticks
