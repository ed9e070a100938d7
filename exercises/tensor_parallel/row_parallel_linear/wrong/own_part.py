"""No communication.

status: incorrect
feedback: own partial product
"""

def row_parallel_linear(comm, x, a, bias):
    return x @ a + bias
