from labkit.openmp.simulate import simulate_schedule


def choose_schedule(costs_s, num_threads, chunk_s):
    """The schedule with which the next step of a loop takes the least time.

    Parameters
    ----------
    costs_s : array of float64, shape (n,)
        Time of each iteration in the last step, in s.
    num_threads : int
    chunk_s : float
        Time to take a chunk from the counter, in s; static schedules have none.

    Returns
    -------
    str
        Such as ``"static"`` or ``"dynamic,16"``.
    """
    raise NotImplementedError
