def one_f_one_b(num_stages, num_microbatches, stage):
    """The order of one stage in 1F1B.

    Parameters
    ----------
    num_stages, num_microbatches, stage : int

    Returns
    -------
    list of str
        ``"F3"`` for the forward of micro-batch 3, ``"B3"`` for its backward.
    """
    raise NotImplementedError
