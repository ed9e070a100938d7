"""Each sum in a message of its own.

status: over budget
feedback: one message of 2 n
"""

import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    n, num_own = logits.shape
    maxima = np.empty(n)
    comm.Allreduce(logits.max(axis=1, initial=-np.inf), maxima, op=MPI.MAX)
    shifted = logits - maxima[:, None]
    here = (targets >= first) & (targets < first + num_own)
    own, total = np.zeros((2, n)), np.empty((2, n))
    own[0] = np.exp(shifted).sum(axis=1)
    own[1, here] = shifted[here, targets[here] - first]
    comm.Allreduce(own[0], total[0], op=MPI.SUM)
    comm.Allreduce(own[1], total[1], op=MPI.SUM)
    return np.log(total[0]) - total[1]
