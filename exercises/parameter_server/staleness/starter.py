def staleness(events):
    """How many updates old each gradient was.

    Parameters
    ----------
    events : list of [int, str]
        Worker, and "pull" or "push", in order.

    Returns
    -------
    list of int
        One for each push: updates between its worker's last pull and itself.
    """
    raise NotImplementedError
