import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    """The line ``alpha + beta * bytes`` with the least squares of the relative errors.

    Parameters
    ----------
    sizes_bytes : ndarray of integers, shape (k,)
    times_s : ndarray of float64, shape (k,)

    Returns
    -------
    alpha_s, beta_s_per_byte : float
    """
    raise NotImplementedError
