"""The distance to the fastest.

status: incorrect
feedback: turned round
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return left & (clocks[left].max() - clocks <= bound)
