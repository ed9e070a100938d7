"""NumPy's product.

status: incorrect
feedback: numpy's dot product keeps no errors
"""

def dot_product(x, y):
    return float(x @ y)
