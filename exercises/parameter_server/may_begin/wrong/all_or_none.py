"""All wait if one is too far.

status: incorrect
feedback: catch up
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return left & (clocks[left].max() - clocks[left].min() <= bound)
