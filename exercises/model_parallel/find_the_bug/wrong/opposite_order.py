"""Gradients are taken in the opposite order, and sent in this one.

status: incorrect
feedback: another micro-batch
"""

import numpy as np


def pipeline_step(comm, weight, inputs, targets, num_microbatches):
    first, last = comm.rank == 0, comm.rank == comm.size - 1
    n, d = inputs.shape
    parts = np.array_split(np.arange(n), num_microbatches)
    loss, gradient, saved = 0.0, np.zeros_like(weight), []

    for rows in parts:
        x = inputs[rows] if first else np.empty((len(rows), d))
        if not first:
            comm.Recv(x, comm.rank - 1, 0)
        y = np.tanh(x @ weight)
        saved.append((x, y))
        if last:
            loss += 0.5 * np.sum((y - targets[rows]) ** 2) / n
        else:
            comm.Send(y, comm.rank + 1, 0)

    for rows, (x, y) in zip(parts, saved[::-1] if not last else saved):
        x, y = x[: len(rows)], y[: len(rows)]
        x, y = np.resize(x, (len(rows), d)), np.resize(y, (len(rows), d))
        dy = (y - targets[rows]) / n if last else np.empty_like(y)
        if not last:
            comm.Recv(dy, comm.rank + 1, 1)
        dz = dy * (1 - y * y)
        gradient += x.T @ dz
        if not first:
            comm.Send(dz @ weight.T, comm.rank - 1, 1)
    return float(loss), gradient
