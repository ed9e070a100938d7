import numpy as np


def attention(q, k, v):
    """softmax(q @ k.T / sqrt(a)) @ v, one block of keys at a time.

    Parameters
    ----------
    q : array of float64, shape (n, a)
        Queries.
    k : array of float64, shape (C, a)
        Keys.
    v : array of float64, shape (C, w)
        Values.

    Returns
    -------
    array of float64, shape (n, w)
    """
    raise NotImplementedError
