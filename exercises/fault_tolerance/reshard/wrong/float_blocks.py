"""Blocks are calculated with floats.

status: incorrect
feedback: 53 bits
"""

import math


def reshard(num_elements, num_old, num_new, rank):
    old, new = math.ceil(num_elements / num_old), math.ceil(num_elements / num_new)
    start, stop = min(rank * new, num_elements), min((rank + 1) * new, num_elements)
    pieces = []
    while start < stop:
        owner = start // old
        end = min(stop, (owner + 1) * old)
        pieces.append([owner, start - owner * old, end - owner * old])
        start = end
    return pieces
