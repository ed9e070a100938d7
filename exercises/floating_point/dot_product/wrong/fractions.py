"""Exact, and rounded once.

status: incorrect
feedback: rounded once
"""

from fractions import Fraction


def dot_product(x, y):
    return float(sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)))
