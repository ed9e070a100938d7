"""The dead go on.

status: incorrect
feedback: begin nothing
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if bound is None or not left.any():
        return left
    return clocks - clocks[left].min() <= bound
