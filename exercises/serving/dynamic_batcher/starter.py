def dynamic_batcher(arrivals_us, max_batch, max_wait_us, fixed_us, row_us):
    """The batches that a dynamic batcher forms.

    Parameters
    ----------
    arrivals_us : list of int
        Sorted.
    max_batch : int
    max_wait_us : int
        How long the first request of a batch waits for others.
    fixed_us, row_us : int
        A batch of k requests takes ``fixed_us + k * row_us``.

    Returns
    -------
    list of (int, int)
        Start in us and number of requests of each batch.
    """
    raise NotImplementedError
