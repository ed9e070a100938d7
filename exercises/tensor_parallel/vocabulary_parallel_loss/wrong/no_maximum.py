"""Nothing is subtracted before exp.

status: incorrect
feedback: overflows
"""

import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    n, num_own = logits.shape
    maxima = np.zeros(n)
    shifted = logits - maxima[:, None]
    here = (targets >= first) & (targets < first + num_own)
    own, total = np.zeros((2, n)), np.empty((2, n))
    own[0] = np.exp(shifted).sum(axis=1)
    own[1, here] = shifted[here, targets[here] - first]
    with np.errstate(over="ignore"):
        own[0] = np.exp(logits).sum(axis=1)
    comm.Allreduce(own, total, op=MPI.SUM)
    return np.log(total[0]) - total[1]
