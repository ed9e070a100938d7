def memory_plan(num_parameters, activation_bytes, num_microbatches, dp, pp, tp, zero_stage):
    """A share of the states, once more shared by ZeRO; activations of as many micro-batches as are under way."""
    own = num_parameters / (pp * tp)
    parameters = 2 * own / (dp if zero_stage >= 3 else 1)
    gradients = 2 * own / (dp if zero_stage >= 2 else 1)
    optimizer = 12 * own / (dp if zero_stage >= 1 else 1)
    in_flight = min(num_microbatches, pp)
    return [parameters, gradients, optimizer, activation_bytes / (pp * tp) * in_flight]
