"""None is compared.

status: crashed
feedback: bound may be None
"""


def may_begin(clocks, bound, has_ended):
    left = ~has_ended
    if not left.any():
        return left
    return left & (clocks - clocks[left].min() <= bound)
