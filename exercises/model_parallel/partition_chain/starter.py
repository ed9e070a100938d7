def partition_chain(seconds, links, num_stages):
    """Cut a chain of layers into stages, so that the slowest stage is as fast as it can be.

    Parameters
    ----------
    seconds : list of float
        Of each layer.
    links : list of float
        Of the message between layer i and layer i + 1, one less than layers.
    num_stages : int

    Returns
    -------
    list of int
        num_stages + 1 bounds, from 0 to the number of layers.
    """
    raise NotImplementedError
