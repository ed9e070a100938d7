"""Kahan's sum.

status: incorrect
feedback: kahan's sum
"""

def compensated_sum(x):
    total = lost = x.dtype.type(0)
    for term in x:
        corrected = term - lost
        new = total + corrected
        lost = (new - total) - corrected
        total = new
    return total
