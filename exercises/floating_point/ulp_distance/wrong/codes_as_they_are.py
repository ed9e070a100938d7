"""Codes are compared without a look at their signs.

status: incorrect
feedback: both zeros
"""

import struct


def position(x):
    code = struct.unpack("<Q", struct.pack("<d", x))[0]
    return code


def ulp_distance(a, b):
    return [abs(position(x) - position(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
