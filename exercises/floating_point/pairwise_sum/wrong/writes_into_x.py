"""The even terms are used as room for the sums.

status: incorrect
feedback: belongs to the caller
"""

def pairwise_sum(x):
    if len(x) == 0:
        return x.dtype.type(0)
    last = None  # the last term of this level, if it is not in x
    while len(x) > 1:
        if len(x) % 2 == 1:
            last = x[-1] if last is None else x[-1] + last
            x = x[:-1]
        even = x[0::2]
        even += x[1::2]
        x = even
    return x[0] if last is None else x[0] + last
