"""All exponents are treated alike.

status: incorrect
feedback: no hidden 1
"""

def decode_bits(codes, exponent_bits, significand_bits):
    bias = 2 ** (exponent_bits - 1) - 1
    found = []
    for code in codes:
        sign = (-1) ** (code >> (exponent_bits + significand_bits))
        exponent = code >> significand_bits & (2**exponent_bits - 1)
        trailing = code & (2**significand_bits - 1)
        found.append(sign * (1 + trailing / 2**significand_bits) * 2.0 ** (exponent - bias))
    return found
