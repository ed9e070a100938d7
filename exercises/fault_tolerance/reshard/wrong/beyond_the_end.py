"""The last block is as long as the others.

status: incorrect
feedback: goes beyond it
"""

def reshard(num_elements, num_old, num_new, rank):
    old, new = -(-num_elements // num_old), -(-num_elements // num_new)
    start, stop = rank * new, (rank + 1) * new
    pieces = []
    while start < stop:
        owner = start // old
        end = min(stop, (owner + 1) * old)
        pieces.append([owner, start - owner * old, end - owner * old])
        start = end
    return pieces
