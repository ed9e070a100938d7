"""reduce instead of allreduce.

status: incorrect
feedback: gives it to the root alone
"""

UNIT = 2**1074


def order_free_sum(comm, x):
    own = 0
    for term in x.tolist():
        numerator, denominator = term.as_integer_ratio()  # the denominator is a power of two
        own += numerator * (UNIT // denominator)
    total = comm.reduce(own)
    return total / UNIT if comm.rank == 0 else None
