def choose_allreduce(num_ranks, num_bytes, alpha_s, beta_s_per_byte, gamma_s_per_byte):
    """The all-reduce algorithm that takes the least time in the alpha-beta-gamma model.

    Parameters
    ----------
    num_ranks : int
        p, at least 1.
    num_bytes : int
        n, the length of the vector, in bytes.
    alpha_s, beta_s_per_byte, gamma_s_per_byte : float
        Time of a round, of sending a byte, and of adding a byte, in s.

    Returns
    -------
    str
        ``"recursive_doubling"``, ``"rabenseifner"`` or ``"ring"``.
    """
    raise NotImplementedError
