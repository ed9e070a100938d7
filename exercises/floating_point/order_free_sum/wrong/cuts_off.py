"""The low bits are shifted away before the total becomes a float.

status: incorrect
feedback: cut off before it is rounded
"""

UNIT = 2**1074


def order_free_sum(comm, x):
    own = 0
    for term in x.tolist():
        numerator, denominator = term.as_integer_ratio()  # the denominator is a power of two
        own += numerator * (UNIT // denominator)
    total = comm.allreduce(own)
    surplus = max(total.bit_length() - 60, 0)
    return (total >> surplus) / 2**1074 * 2.0**surplus if surplus < 1000 else (total >> surplus) / 2 ** (1074 - surplus)
