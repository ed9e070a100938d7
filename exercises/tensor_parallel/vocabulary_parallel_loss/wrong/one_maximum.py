"""Subtracts the largest logit of all rows from each of them.

status: incorrect
feedback: Every row has a largest logit of its own
"""

import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    n, num_own = logits.shape
    maximum = np.empty(1)
    comm.Allreduce(np.array([logits.max(initial=-np.inf)]), maximum, op=MPI.MAX)
    shifted = logits - maximum
    here = (targets >= first) & (targets < first + num_own)
    own, total = np.zeros((2, n)), np.empty((2, n))
    own[0] = np.exp(shifted).sum(axis=1)
    own[1, here] = shifted[here, targets[here] - first]
    comm.Allreduce(own, total, op=MPI.SUM)
    return np.log(total[0]) - total[1]
