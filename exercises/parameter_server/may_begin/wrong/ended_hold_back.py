"""The minimum of all clocks.

status: incorrect
feedback: holds the others back
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return left & (clocks - clocks.min() <= bound)
