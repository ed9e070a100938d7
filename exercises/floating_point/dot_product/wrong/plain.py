"""A loop with two roundings a pair.

status: incorrect
feedback: nothing that a product or an addition has lost
"""

def dot_product(x, y):
    total = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        total += a * b
    return total
