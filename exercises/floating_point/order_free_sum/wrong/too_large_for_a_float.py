"""The total becomes a float before it is divided.

status: crashed
feedback: too large for a float
"""

UNIT = 2**1074


def order_free_sum(comm, x):
    own = 0
    for term in x.tolist():
        numerator, denominator = term.as_integer_ratio()  # the denominator is a power of two
        own += numerator * (UNIT // denominator)
    return float(comm.allreduce(own)) * 2.0**-1074
