def memory_plan(num_parameters, activation_bytes, num_microbatches, dp, pp, tp, zero_stage):
    """What a device of the first stage holds.

    Parameters
    ----------
    num_parameters : int
        Of the whole model.
    activation_bytes : int
        Of one micro-batch, of the whole model.
    num_microbatches : int
        Of a replica.
    dp, pp, tp : int
        Sizes of the axes.
    zero_stage : int
        0 to 3.

    Returns
    -------
    list of float
        Bytes of parameters, gradients, optimizer's state, activations.
    """
    raise NotImplementedError
