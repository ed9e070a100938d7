"""A loop.

status: incorrect
feedback: add neighbours first
"""

def pairwise_sum(x):
    total = x.dtype.type(0)
    for term in x:
        total = total + term
    return total
