def mesh_groups(rank, dp, pp, tp):
    """Where a rank stands in a mesh, and its neighbours along each axis.

    Parameters
    ----------
    rank : int
    dp, pp, tp : int
        Sizes of the axes; ``tp`` runs fastest, ``pp`` slowest.

    Returns
    -------
    (tuple of int, list of int, list of int, list of int)
        (d, p, t); the ranks along dp, along pp, along tp.
    """
    raise NotImplementedError
