"""All ranks count alike.

status: incorrect
feedback: count alike
"""

import numpy as np
from mpi4py import MPI


def average_gradients(comm, gradients, num_samples):
    parts = []
    for gradient in gradients:
        parts.append(gradient.ravel() if num_samples else np.zeros(gradient.size))
    flat = np.concatenate([*parts, [float(num_samples)]])
    total = np.empty_like(flat)
    comm.Allreduce(flat, total, op=MPI.SUM)
    total[:-1] /= comm.size
    start = 0
    for gradient in gradients:
        gradient[...] = total[start : start + gradient.size].reshape(gradient.shape)
        start += gradient.size
