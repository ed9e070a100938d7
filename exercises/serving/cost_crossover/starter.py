import numpy as np


def cost_crossover(num_requests, memory_mb, durations_ms, instance_usd_per_hour):
    """What a month costs serverless, and from when on an instance is cheaper.

    Parameters
    ----------
    num_requests : int
        In a month.
    memory_mb : int
    durations_ms : array of float64, shape (k,)
        A sample of the requests.
    instance_usd_per_hour : float

    Returns
    -------
    (float, float)
        The bill in USD, and the number of requests a month at which both cost the same.
    """
    raise NotImplementedError
