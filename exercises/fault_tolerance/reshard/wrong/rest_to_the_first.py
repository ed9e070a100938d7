"""Blocks that differ by one at most.

status: incorrect
feedback: spread over the first ranks
"""

def share(n, p, r):
    return r * (n // p) + min(r, n % p), (r + 1) * (n // p) + min(r + 1, n % p)


def reshard(num_elements, num_old, num_new, rank):
    start, stop = share(num_elements, num_new, rank)
    pieces = []
    for old in range(num_old):
        first, last = share(num_elements, num_old, old)
        if max(start, first) < min(stop, last):
            pieces.append([old, max(start, first) - first, min(stop, last) - first])
    return pieces
