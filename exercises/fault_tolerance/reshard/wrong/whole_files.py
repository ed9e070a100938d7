"""All of each file.

status: incorrect
feedback: whole files are read
"""

def reshard(num_elements, num_old, num_new, rank):
    old, new = -(-num_elements // num_old), -(-num_elements // num_new)
    start, stop = min(rank * new, num_elements), min((rank + 1) * new, num_elements)
    pieces = []
    while start < stop:
        owner = start // old
        end = min(stop, (owner + 1) * old)
        pieces.append([owner, 0, min(old, num_elements - owner * old)])
        start = end
    return pieces
