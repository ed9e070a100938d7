"""Each rank rounds its own sum correctly.

status: incorrect
feedback: each rank rounds its own sum
"""

import math


def order_free_sum(comm, x):
    return math.fsum(comm.allgather(math.fsum(x)))
