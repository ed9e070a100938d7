import numpy as np


def shard(num_samples, batch_size, num_ranks, rank, step, seed):
    """The samples of one rank in one step.

    Parameters
    ----------
    num_samples, batch_size : int
        Of the data set, and of a batch of all ranks together.
    num_ranks, rank : int
    step : int
        From 0.
    seed : int

    Returns
    -------
    array of int64
        Numbers of samples; possibly empty.
    """
    raise NotImplementedError
