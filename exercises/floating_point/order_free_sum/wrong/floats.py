"""Floats are added up on each rank, and then between the ranks.

status: incorrect
feedback: rounded at every addition
"""

def order_free_sum(comm, x):
    return comm.allreduce(float(sum(x.tolist())))
