import numpy as np


def may_begin(clocks, bound, has_ended):
    """Which workers may begin their next step.

    Parameters
    ----------
    clocks : array of int64, shape (w,)
        Steps done.
    bound : int or None
        How many steps a worker may be ahead of the slowest; None: any number.
    has_ended : array of bool, shape (w,)
        Those that have done all their steps, or died.

    Returns
    -------
    array of bool, shape (w,)
    """
    raise NotImplementedError
