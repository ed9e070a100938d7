import math


def cold_start_probability(arrivals_ms, warm_ms, cold_ms, keep_alive_ms, observed_ms):
    """Who meets a cold start, simulated and by the formula.

    Parameters
    ----------
    arrivals_ms : list of int
        Sorted.
    warm_ms, cold_ms : int
        How long a request keeps its environment busy.
    keep_alive_ms : int
        The longest idle time that an environment survives.
    observed_ms : int

    Returns
    -------
    (list of bool, float)
        For each request whether it is cold, and the probability for Poisson arrivals.
    """
    raise NotImplementedError
