import numpy as np


def pipeline_step(comm, weight, inputs, targets, num_microbatches):
    """Three faults: repair them.

    Parameters
    ----------
    comm : communicator
        A stage a rank, in their order.
    weight : array of float64, shape (d, d)
        Of this rank's stage; is not changed.
    inputs : array of float64, shape (n, d)
        Of the first stage; NaN on other ranks.
    targets : array of float64, shape (n, d)
        For the outputs of the last stage; NaN on other ranks.
    num_microbatches : int
        1 to n.

    Returns
    -------
    loss : float
        Of the whole batch on the last rank; 0.0 on the others.
    gradient : array of float64, shape (d, d)
        Of the loss by ``weight``.
    """
    first, last = comm.rank == 0, comm.rank == comm.size - 1
    n, d = inputs.shape
    parts = np.array_split(np.arange(n), num_microbatches)
    loss, gradient, saved = 0.0, np.zeros_like(weight), []

    # All forwards: activations come from the left, and go on to the right.
    for rows in parts:
        x = inputs[rows] if first else np.empty((len(rows), d))
        if not first:
            comm.Recv(x, comm.rank - 1, 0)
        y = np.tanh(x @ weight)
        saved = [(x, y)] * num_microbatches  # for the backwards
        if last:
            loss += 0.5 * np.sum((y - targets[rows]) ** 2) / len(rows) / num_microbatches
        else:
            comm.Send(y, comm.rank + 1, 0)

    # All backwards: gradients come from the right, and go on to the left.
    for rows, (x, y) in zip(parts, saved):
        dy = (y - targets[rows]) / len(rows) / num_microbatches if last else np.empty_like(y)
        if not last:
            comm.Recv(dy, comm.rank + 1, 1)
        dz = dy * (1 - y * y)
        gradient = x.T @ dz
        if not first:
            comm.Send(dz @ weight.T, comm.rank - 1, 1)
    return float(loss), gradient
