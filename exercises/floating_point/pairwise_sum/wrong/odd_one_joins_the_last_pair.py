"""The odd one is added to the last pair.

status: incorrect
feedback: to the last pair at once
"""

def pairwise_sum(x):
    while len(x) > 1:
        half = len(x) // 2
        sums = x[0 : 2 * half : 2] + x[1 : 2 * half : 2]
        if len(x) % 2 == 1:
            sums[-1] += x[-1]
        x = sums
    return x[0] if len(x) else x.dtype.type(0)
