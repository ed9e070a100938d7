"""A piece of every file.

status: incorrect
feedback: pieces without an element
"""

def share(n, p, r):
    block = -(-n // p)
    return min(r * block, n), min((r + 1) * block, n)


def reshard(num_elements, num_old, num_new, rank):
    start, stop = share(num_elements, num_new, rank)
    pieces = []
    for old in range(num_old):
        first, last = share(num_elements, num_old, old)
        begin = max(start, first)
        pieces.append([old, begin - first, max(begin, min(stop, last)) - first])
    return pieces
