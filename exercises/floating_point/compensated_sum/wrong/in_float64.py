"""Python's floats for terms of every type.

status: incorrect
feedback: stay with numpy's scalars
"""

def compensated_sum(x):
    total = errors = 0.0
    for term in x.tolist():
        new = total + term
        if abs(total) >= abs(term):
            errors += (total - new) + term
        else:
            errors += (term - new) + total
        total = new
    return total + errors
