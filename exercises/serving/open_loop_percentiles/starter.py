import math

import numpy as np


def open_loop_percentiles(scheduled_s, sent_s, done_s, permille):
    """Percentiles of latency, from the scheduled time.

    Parameters
    ----------
    scheduled_s, sent_s, done_s : array of float64, shape (n,)
        ``done_s`` is NaN where no answer came.
    permille : list of int
        Thousandths, from 1 to 1000.

    Returns
    -------
    list of float
        By nearest rank, in s; ``math.inf`` where it is a request without an answer.
    """
    raise NotImplementedError
