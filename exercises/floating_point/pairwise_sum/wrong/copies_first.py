"""A copy to be on the safe side.

status: over budget
feedback: a slice is a view
"""

def pairwise_sum(x):
    if len(x) == 0:
        return x.dtype.type(0)
    x = x.copy()
    last = None  # the last term of this level, if it is not in x
    while len(x) > 1:
        if len(x) % 2 == 1:
            last = x[-1] if last is None else x[-1] + last
            x = x[:-1]
        x = x[0::2] + x[1::2]
    return x[0] if last is None else x[0] + last
