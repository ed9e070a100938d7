import numpy as np


def merge_states(m1, d1, m2, d2):
    """The states of two parts of rows together.

    Parameters
    ----------
    m1, m2 : arrays of float64, shape (k,)
        Maxima of logits; -inf if there are none.
    d1, d2 : arrays of float64, shape (k,)
        Sums of exp(x - m); 0 if there are no logits.

    Returns
    -------
    m, d : arrays of float64, shape (k,)
    """
    raise NotImplementedError
