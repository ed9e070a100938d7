"""The total is taken for the larger one, always.

status: incorrect
feedback: only if total is the larger one
"""

def compensated_sum(x):
    total = errors = x.dtype.type(0)
    for term in x:
        new = total + term
        errors += (total - new) + term
        total = new
    return total + errors
