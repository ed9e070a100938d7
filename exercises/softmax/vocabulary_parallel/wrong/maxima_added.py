"""The maxima are added up: the operation was forgotten.

status: incorrect
feedback: all-reduce the maxima with op=MPI.MAX
"""

import numpy as np
from mpi4py import MPI


def parallel_cross_entropy(comm, x, targets, first):
    rows = np.arange(len(x))
    maxima, sums, logits = (np.empty(len(x)) for _ in range(3))
    with np.errstate(all="ignore"):
        comm.Allreduce(x.max(axis=1, initial=-np.inf), maxima)
        shifted = x - maxima[:, None]
        exponentials = np.exp(shifted)
        comm.Allreduce(exponentials.sum(axis=1), sums, op=MPI.SUM)
        here = rows[(targets >= first) & (targets < first + x.shape[1])]
        own = np.zeros(len(x))
        own[here] = shifted[here, targets[here] - first]
        comm.Allreduce(own, logits, op=MPI.SUM)
        gradient = exponentials / sums[:, None]
        gradient[here, targets[here] - first] -= 1
        return np.log(sums) - logits, gradient / len(x)
