import numpy as np


def online_softmax(x, out):
    """The probabilities of one row of logits, with maximum and sum found in one pass.

    Parameters
    ----------
    x : array of float64, shape (C,)
        Every access to an element is counted. Stays as it is.
    out : array of float64, shape (C,)
        Filled with the probabilities.
    """
    raise NotImplementedError
