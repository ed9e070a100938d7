"""The clocks are changed.

status: incorrect
feedback: an argument has changed
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    clocks -= clocks[left].min()
    return left & (clocks <= bound)
