"""The stages after it alone.

status: incorrect
feedback: One too few
"""


def memory_plan(num_parameters, activation_bytes, num_microbatches, dp, pp, tp, zero_stage):
    own = num_parameters / (pp * tp)
    parameters = 2 * own / (dp if zero_stage >= 3 else 1)
    gradients = 2 * own / (dp if zero_stage >= 2 else 1)
    optimizer = 12 * own / (dp if zero_stage >= 1 else 1)
    in_flight = min(num_microbatches, max(1, pp - 1))
    return [parameters, gradients, optimizer, activation_bytes / (pp * tp) * in_flight]
