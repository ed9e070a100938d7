"""Each error goes straight back into the total.

status: incorrect
feedback: rounded away again
"""

def compensated_sum(x):
    total = errors = x.dtype.type(0)
    for term in x:
        new = total + term
        if abs(total) >= abs(term):
            errors = (total - new) + term
        else:
            errors = (term - new) + total
        total = new + errors
    return total
