"""Minus zero has a place of its own.

status: incorrect
feedback: have one place
"""

import struct


def position(x):
    code = struct.unpack("<Q", struct.pack("<d", x))[0]
    magnitude = code & (2**63 - 1)
    return -magnitude - 1 if code >> 63 else magnitude


def ulp_distance(a, b):
    return [abs(position(x) - position(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
