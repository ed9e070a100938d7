"""A lower-case call.

status: over budget
feedback: pickle
"""

import numpy as np


def average_gradients(comm, gradients, num_samples):
    parts = []
    for gradient in gradients:
        parts.append(num_samples * gradient.ravel() if num_samples else np.zeros(gradient.size))
    flat = np.concatenate([*parts, [float(num_samples)]])
    total = np.empty_like(flat)
    total[:] = comm.allreduce(flat)
    total[:-1] /= total[-1]
    start = 0
    for gradient in gradients:
        gradient[...] = total[start : start + gradient.size].reshape(gradient.shape)
        start += gradient.size
