import numpy as np


def dot_product(x, y):
    """The dot product, as if computed in twice the precision.

    Parameters
    ----------
    x, y : array of float64, shape (n,)

    Returns
    -------
    float
    """
    raise NotImplementedError
