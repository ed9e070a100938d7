"""Activations of all micro-batches, as GPipe keeps them.

status: incorrect
feedback: this is GPipe
"""


def memory_plan(num_parameters, activation_bytes, num_microbatches, dp, pp, tp, zero_stage):
    own = num_parameters / (pp * tp)
    parameters = 2 * own / (dp if zero_stage >= 3 else 1)
    gradients = 2 * own / (dp if zero_stage >= 2 else 1)
    optimizer = 12 * own / (dp if zero_stage >= 1 else 1)
    in_flight = num_microbatches
    return [parameters, gradients, optimizer, activation_bytes / (pp * tp) * in_flight]
