"""All terms go to all ranks.

status: over budget
feedback: all terms travel
"""

import math


def order_free_sum(comm, x):
    return math.fsum(term for part in comm.allgather(x.tolist()) for term in part)
