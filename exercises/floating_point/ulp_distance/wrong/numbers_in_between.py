"""The numbers between the two are counted.

status: incorrect
feedback: not the numbers in between
"""

import struct


def position(x):
    code = struct.unpack("<Q", struct.pack("<d", x))[0]
    magnitude = code & (2**63 - 1)
    return -magnitude if code >> 63 else magnitude


def ulp_distance(a, b):
    return [max(abs(position(x) - position(y)) - 1, 0) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
