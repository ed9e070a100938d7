"""A bound of 0 is taken for none.

status: incorrect
feedback: a bound of 0 is not
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if not bound or not left.any():
        return left
    return left & (clocks - clocks[left].min() <= bound)
