"""An all-reduce for each array.

status: over budget
feedback: an all-reduce for each array
"""

import numpy as np
from mpi4py import MPI


def average_gradients(comm, gradients, num_samples):
    parts = []
    for gradient in gradients:
        parts.append(num_samples * gradient.ravel() if num_samples else np.zeros(gradient.size))
    flat = np.concatenate([*parts, [float(num_samples)]])
    total = np.empty_like(flat)
    start = 0
    for size in [*(gradient.size for gradient in gradients), 1]:
        comm.Allreduce(flat[start : start + size], total[start : start + size], op=MPI.SUM)
        start += size
    total[:-1] /= total[-1]
    start = 0
    for gradient in gradients:
        gradient[...] = total[start : start + gradient.size].reshape(gradient.shape)
        start += gradient.size
