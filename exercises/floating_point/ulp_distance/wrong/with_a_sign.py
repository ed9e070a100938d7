"""Distances are negative where b is larger.

status: incorrect
feedback: has no sign
"""

import struct


def position(x):
    code = struct.unpack("<Q", struct.pack("<d", x))[0]
    magnitude = code & (2**63 - 1)
    return -magnitude if code >> 63 else magnitude


def ulp_distance(a, b):
    return [position(x) - position(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
