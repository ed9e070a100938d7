def bubble(orders, forward_s, backward_s, message_s):
    """How long a step of a pipeline lasts, and which share of it is idle.

    Parameters
    ----------
    orders : list of list of str
        By stage: ``"F3"`` is the forward of micro-batch 3, ``"B3"`` its backward.
    forward_s, backward_s : list of float
        By stage.
    message_s : float

    Returns
    -------
    list of float, or None
        ``[step_s, idle]``; None if the stages wait for each other.
    """
    raise NotImplementedError
