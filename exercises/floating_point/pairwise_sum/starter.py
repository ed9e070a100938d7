import numpy as np


def pairwise_sum(x):
    """The sum of neighbours, of neighbouring sums, and so on.

    Parameters
    ----------
    x : array of float64 or float32, shape (n,)
        May be empty.

    Returns
    -------
    number of the type of x
    """
    raise NotImplementedError
