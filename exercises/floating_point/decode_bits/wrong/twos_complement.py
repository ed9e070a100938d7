"""A code with a sign bit is read as a negative whole number.

status: incorrect
feedback: sign and magnitude
"""

import math


def decode_bits(codes, exponent_bits, significand_bits):
    bias = 2 ** (exponent_bits - 1) - 1
    found = []
    for code in codes:
        negative = code >> (exponent_bits + significand_bits)
        if negative:
            code = 2 ** (1 + exponent_bits + significand_bits) - code
        exponent = code >> significand_bits & (2**exponent_bits - 1)
        trailing = code & (2**significand_bits - 1)
        if exponent == 2**exponent_bits - 1:
            value = math.nan if trailing else math.inf
        elif exponent == 0:
            value = math.ldexp(trailing, 1 - bias - significand_bits)
        else:
            value = math.ldexp(2**significand_bits + trailing, exponent - bias - significand_bits)
        found.append(-value if negative else value)
    return found
