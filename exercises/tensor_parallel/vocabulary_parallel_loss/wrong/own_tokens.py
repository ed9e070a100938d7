"""Softmax of the own tokens.

status: incorrect
feedback: own tokens
"""

import numpy as np
from mpi4py import MPI


def vocabulary_parallel_loss(comm, logits, first, targets):
    n, num_own = logits.shape
    if not num_own:
        return np.zeros(n)
    maxima = logits.max(axis=1)
    shifted = logits - maxima[:, None]
    here = (targets >= first) & (targets < first + num_own)
    own, total = np.zeros((2, n)), np.empty((2, n))
    own[0] = np.exp(shifted).sum(axis=1)
    own[1, here] = logits[here, targets[here] - first]
    return np.log(own[0]) + maxima - own[1] + 0 * MPI.SUM.Is_commutative()
