"""As if stages did not need each other.

status: incorrect
feedback: needs what stage s - 1 has made
"""


def gpipe_ticks(num_stages, num_microbatches):
    ticks = [[f"{s}F{j}" for s in range(num_stages)] for j in range(num_microbatches)]
    return ticks + [[f"{s}B{j}" for s in range(num_stages)] for j in reversed(range(num_microbatches))]
