"""Less than the bound.

status: incorrect
feedback: exactly the bound ahead
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return left & (clocks - clocks[left].min() < bound)
