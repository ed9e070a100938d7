"""Every code is taken for a binary16 number.

status: incorrect
feedback: 5 and 10 bits only
"""

import numpy as np


def decode_bits(codes, exponent_bits, significand_bits):
    return [float(value) for value in np.array(codes, np.uint64).astype(np.uint16).view(np.float16)]
