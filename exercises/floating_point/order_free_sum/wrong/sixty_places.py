"""Whole numbers of 2^-60.

status: crashed
feedback: a fixed number of binary places
"""

def order_free_sum(comm, x):
    own = sum(round(term * 2**60) for term in x.tolist())
    return comm.allreduce(own) / 2**60
