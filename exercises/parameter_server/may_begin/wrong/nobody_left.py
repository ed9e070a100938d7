"""The minimum of nothing.

status: crashed
feedback: nobody is left
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None:
        return left
    return left & (clocks - clocks[left].min() <= bound)
