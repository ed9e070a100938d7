"""One variable, in the order of the array.

status: incorrect
feedback: nothing that an addition has lost
"""

def compensated_sum(x):
    total = x.dtype.type(0)
    for term in x:
        total += term
    return total
