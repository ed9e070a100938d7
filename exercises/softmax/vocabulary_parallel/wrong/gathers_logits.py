"""All logits are sent to everybody.

status: over budget
feedback: logits were sent
"""

import numpy as np


def parallel_cross_entropy(comm, x, targets, first):
    whole = np.concatenate(comm.allgather(x), axis=1)
    rows = np.arange(len(x))
    shifted = whole - whole.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1, keepdims=True)
    gradient = np.exp(shifted) / sums
    gradient[rows, targets] -= 1
    losses = np.log(sums[:, 0]) - shifted[rows, targets]
    return losses, gradient[:, first : first + x.shape[1]] / len(x)
