"""A lower-case call.

status: over budget
feedback: pickle
"""

def row_parallel_linear(comm, x, a, bias):
    return comm.allreduce(x @ a) + bias
