import numpy as np


def serve_bsp(comm, weights, target, num_steps, learning_rate):
    """A server (rank 0) and its workers, step by step together.

    Parameters
    ----------
    comm : communicator
    weights : array of float64, shape (n,)
        The first weights, at rank 0.
    target : array of float64, shape (n,)
        This worker's; its gradient is w - target.
    num_steps : array of int64, shape (p - 1,)
        Steps of each worker: of rank r, num_steps[r - 1].
    learning_rate : float

    Returns
    -------
    array of float64
        Rank 0: the last weights, (n,). A worker: its losses, one a step.
    """
    raise NotImplementedError
