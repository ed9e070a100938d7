import struct

import numpy as np


def ulp_distance(a, b):
    """The number of steps from each number of a to the one of b.

    Parameters
    ----------
    a, b : array of float64, shape (n,)
        No NaN.

    Returns
    -------
    list of int
    """
    raise NotImplementedError
