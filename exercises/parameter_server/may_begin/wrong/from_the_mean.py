"""The distance to the mean.

status: incorrect
feedback: not from the mean
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return left & (clocks - clocks[left].mean() <= bound)
