def reshard(num_elements, num_old, num_new, rank):
    """What a rank has to read from the files of other ranks.

    Parameters
    ----------
    num_elements : int
        Of the whole vector.
    num_old, num_new : int
        Ranks that wrote it, and ranks that read it.
    rank : int
        Of the new ones.

    Returns
    -------
    list of [int, int, int]
        Old rank, and the first element and the one after the last in its file.
    """
    raise NotImplementedError
