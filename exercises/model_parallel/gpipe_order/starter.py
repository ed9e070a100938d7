def gpipe_ticks(num_stages, num_microbatches):
    """What runs in which tick of GPipe.

    Parameters
    ----------
    num_stages, num_microbatches : int

    Returns
    -------
    list of list of str
        By tick, its actions in the order of their stages: ``"2F3"`` is the forward of micro-batch 3 on stage 2.
    """
    raise NotImplementedError
