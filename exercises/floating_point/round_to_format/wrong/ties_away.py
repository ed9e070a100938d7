"""Halfway cases go away from zero.

status: incorrect
feedback: ties go to even
"""

import math


def round_to_format(values, exponent_bits, significand_bits):
    bias = 2 ** (exponent_bits - 1) - 1
    largest = (2 - 2.0**-significand_bits) * 2.0**bias
    found = []
    for value in values:
        if value == 0 or not math.isfinite(value):
            found.append(value)
            continue
        exponent = max(math.frexp(value)[1] - 1, 1 - bias)
        spacing = math.ldexp(1.0, exponent - significand_bits)
        rounded = math.copysign(math.floor(abs(value) / spacing + 0.5) * spacing, value)
        found.append(rounded if abs(rounded) <= largest else math.copysign(math.inf, value))
    return found
