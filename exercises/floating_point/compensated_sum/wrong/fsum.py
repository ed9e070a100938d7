"""The correctly rounded sum.

status: incorrect
feedback: rounds once
"""

import math


def compensated_sum(x):
    return x.dtype.type(math.fsum(x))
