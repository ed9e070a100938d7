"""Blocks are rounded down.

status: incorrect
feedback: rounds down
"""

def share(n, p, r):
    return r * (n // p), n if r == p - 1 else (r + 1) * (n // p)


def reshard(num_elements, num_old, num_new, rank):
    start, stop = share(num_elements, num_new, rank)
    pieces = []
    for old in range(num_old):
        first, last = share(num_elements, num_old, old)
        if max(start, first) < min(stop, last):
            pieces.append([old, max(start, first) - first, min(stop, last) - first])
    return pieces
