"""Every float is a whole number of units of 2^-1074: ints are added without rounding, and divided once."""

UNIT = 2**1074


def order_free_sum(comm, x):
    own = 0
    for term in x.tolist():
        numerator, denominator = term.as_integer_ratio()  # the denominator is a power of two
        own += numerator * (UNIT // denominator)
    return comm.allreduce(own) / UNIT  # the division of two ints rounds once
