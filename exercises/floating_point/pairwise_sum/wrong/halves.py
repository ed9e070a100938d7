"""The sums of both halves are added.

status: incorrect
feedback: halves, not neighbours
"""

def pairwise_sum(x):
    n = len(x)
    if n == 0:
        return x.dtype.type(0)
    return x[0] if n == 1 else pairwise_sum(x[: n // 2]) + pairwise_sum(x[n // 2 :])
