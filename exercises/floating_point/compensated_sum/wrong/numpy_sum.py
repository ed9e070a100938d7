"""NumPy adds.

status: incorrect
feedback: keeps no errors
"""

def compensated_sum(x):
    return x.sum()
