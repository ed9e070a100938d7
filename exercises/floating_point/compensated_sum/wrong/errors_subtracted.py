"""The errors are taken away at the end.

status: incorrect
feedback: do not subtract them
"""

def compensated_sum(x):
    total = errors = x.dtype.type(0)
    for term in x:
        new = total + term
        if abs(total) >= abs(term):
            errors += (total - new) + term
        else:
            errors += (term - new) + total
        total = new
    return total - errors
