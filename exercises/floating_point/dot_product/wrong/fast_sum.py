"""The total is taken for larger than the product.

status: incorrect
feedback: knuth
"""

def two_sum(a, b):
    total = a + b
    return total, b - (total - a)


def split(a):
    c = 134217729.0 * a  # 2^27 + 1
    high = c - (c - a)
    return high, a - high


def two_product(a, b):
    product = a * b
    (high_a, low_a), (high_b, low_b) = split(a), split(b)
    return product, low_a * low_b - (((product - high_a * high_b) - low_a * high_b) - high_a * low_b)


def dot_product(x, y):
    total = errors = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        product, product_error = two_product(a, b)
        total, sum_error = two_sum(total, product)
        errors = errors + (sum_error + product_error)
    return total + errors
