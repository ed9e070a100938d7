import numpy as np


def running_variance(x):
    """The variance of all numbers so far, after each of them.

    Parameters
    ----------
    x : array of float64, shape (n,)

    Returns
    -------
    array of float64, shape (n,)
    """
    raise NotImplementedError
