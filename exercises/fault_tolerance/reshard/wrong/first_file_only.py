"""The part is in one file.

status: incorrect
feedback: only one file is read
"""

def reshard(num_elements, num_old, num_new, rank):
    old, new = -(-num_elements // num_old), -(-num_elements // num_new)
    start, stop = min(rank * new, num_elements), min((rank + 1) * new, num_elements)
    pieces = []
    if start < stop:
        owner = start // old
        end = min(stop, (owner + 1) * old)
        pieces.append([owner, start - owner * old, end - owner * old])
    return pieces
