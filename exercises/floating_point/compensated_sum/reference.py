"""What an addition rounds away is itself a number of the format: the larger operand tells how to get it."""


def compensated_sum(x):
    total = errors = x.dtype.type(0)
    for term in x:
        new = total + term
        if abs(total) >= abs(term):
            errors += (total - new) + term
        else:
            errors += (term - new) + total
        total = new
    return total + errors
