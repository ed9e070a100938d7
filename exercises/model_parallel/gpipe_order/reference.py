def gpipe_ticks(num_stages, num_microbatches):
    """A diagonal of forwards moves through the grid of stages and micro-batches, and a diagonal of backwards back."""
    num_ticks = num_stages + num_microbatches - 1
    stages, ticks = range(num_stages), []
    for tick in range(num_ticks):
        ticks.append([f"{s}F{tick - s}" for s in stages if 0 <= tick - s < num_microbatches])
    for tick in reversed(range(num_ticks)):
        ticks.append([f"{s}B{tick - s}" for s in stages if 0 <= tick - s < num_microbatches])
    return ticks
