"""Each rank divides its own sum.

status: incorrect
feedback: divides, and so rounds, its own sum
"""

UNIT = 2**1074


def order_free_sum(comm, x):
    own = 0
    for term in x.tolist():
        numerator, denominator = term.as_integer_ratio()  # the denominator is a power of two
        own += numerator * (UNIT // denominator)
    return comm.allreduce(own / UNIT)
