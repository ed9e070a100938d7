"""The error of a product is computed as a * b - product, which is 0.

status: incorrect
feedback: is always 0
"""

def two_sum(a, b):
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a, b):
    product = a * b
    return product, a * b - product


def dot_product(x, y):
    total = errors = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        product, product_error = two_product(a, b)
        total, sum_error = two_sum(total, product)
        errors = errors + (sum_error + product_error)
    return total + errors
