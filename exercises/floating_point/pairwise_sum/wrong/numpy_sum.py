"""NumPy's own sum.

status: incorrect
feedback: in an order of its own
"""

def pairwise_sum(x):
    return x.sum()
