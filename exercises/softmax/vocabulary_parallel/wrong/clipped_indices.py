"""Ranks without the target take their nearest column.

status: incorrect
feedback: they contribute 0
"""

import numpy as np
from mpi4py import MPI


def parallel_cross_entropy(comm, x, targets, first):
    rows = np.arange(len(x))
    maxima, sums, logits = (np.empty(len(x)) for _ in range(3))
    with np.errstate(all="ignore"):
        comm.Allreduce(x.max(axis=1, initial=-np.inf), maxima, op=MPI.MAX)
        shifted = x - maxima[:, None]
        exponentials = np.exp(shifted)
        comm.Allreduce(exponentials.sum(axis=1), sums, op=MPI.SUM)
        here = rows[(targets >= first) & (targets < first + x.shape[1])]
        own = shifted[rows, np.clip(targets - first, 0, x.shape[1] - 1)]
        comm.Allreduce(own, logits, op=MPI.SUM)
        gradient = exponentials / sums[:, None]
        gradient[here, targets[here] - first] -= 1
        return np.log(sums) - logits, gradient / len(x)
