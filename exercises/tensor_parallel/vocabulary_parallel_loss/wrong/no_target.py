"""The logit of the target is forgotten.

status: incorrect
feedback: logit of the target is missing
"""

import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    n, num_own = logits.shape
    maxima = np.empty(n)
    comm.Allreduce(logits.max(axis=1, initial=-np.inf), maxima, op=MPI.MAX)
    shifted = logits - maxima[:, None]
    own, total = np.zeros((2, n)), np.empty((2, n))
    own[0] = np.exp(shifted).sum(axis=1)
    comm.Allreduce(own, total, op=MPI.SUM)
    return np.log(total[0]) + maxima
