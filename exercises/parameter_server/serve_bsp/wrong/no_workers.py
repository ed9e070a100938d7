"""The maximum of no steps.

status: crashed
feedback: there may be no worker
"""

import numpy as np


def serve_bsp(comm, weights, target, num_steps, learning_rate):
    if comm.rank == 0:
        w, gradient = weights.copy(), np.empty_like(weights)
        for step in range(num_steps.max()):
            workers = [rank for rank in range(1, comm.size) if step < num_steps[rank - 1]]
            for rank in workers:
                comm.Send(w, rank)
            total = np.zeros_like(w)
            for rank in workers:
                comm.Recv(gradient, rank)
                total += gradient
            w -= learning_rate * total / len(workers)
        return w
    losses, w = [], np.empty_like(weights)
    for _ in range(num_steps[comm.rank - 1]):
        comm.Recv(w, 0)
        losses.append(0.5 * np.sum((w - target) ** 2))
        comm.Send(w - target, 0)
    return np.array(losses, dtype=np.float64)
