"""The last element, not the one after it.

status: incorrect
feedback: one short
"""

def reshard(num_elements, num_old, num_new, rank):
    old, new = -(-num_elements // num_old), -(-num_elements // num_new)
    start, stop = min(rank * new, num_elements), min((rank + 1) * new, num_elements)
    pieces = []
    while start < stop:
        owner = start // old
        end = min(stop, (owner + 1) * old)
        pieces.append([owner, start - owner * old, end - owner * old - 1])
        start = end
    return pieces
