"""An odd one is cut off.

status: incorrect
feedback: the last one is lost
"""

def pairwise_sum(x):
    while len(x) > 1:
        half = len(x) // 2
        x = x[0 : 2 * half : 2] + x[1 : 2 * half : 2]
    return x[0] if len(x) else x.dtype.type(0)
