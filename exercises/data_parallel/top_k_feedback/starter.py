import numpy as np


def top_k(gradient, residual, k):
    """The k largest elements of what there is to send.

    Parameters
    ----------
    gradient : array of float64, shape (n,)
        Stays as it is.
    residual : array of float64, shape (n,)
        What has not been sent so far; overwritten with what is not sent now.
    k : int
        0 to n.

    Returns
    -------
    indices : array of int64, shape (k,)
        Ascending.
    values : array of float64, shape (k,)
    """
    raise NotImplementedError
