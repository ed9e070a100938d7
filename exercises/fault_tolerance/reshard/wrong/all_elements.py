"""One element after the other.

status: crashed
feedback: more memory than there is
"""

import numpy as np


def reshard(num_elements, num_old, num_new, rank):
    old, new = -(-num_elements // num_old), -(-num_elements // num_new)
    pieces = []
    if new == 0:
        return pieces
    readers = np.arange(num_elements) // new
    for element in np.flatnonzero(readers == rank).tolist():
        owner, place = divmod(element, old)
        if not pieces or pieces[-1][0] != owner:
            pieces.append([owner, place, place])
        pieces[-1][2] += 1
    return pieces
