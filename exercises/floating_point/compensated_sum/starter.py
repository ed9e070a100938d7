import numpy as np


def compensated_sum(x):
    """Neumaier's sum: terms and rounding errors are added up separately.

    Parameters
    ----------
    x : array of float64 or float32, shape (n,)
        Finite; may be empty.

    Returns
    -------
    number of the type of x
    """
    raise NotImplementedError
