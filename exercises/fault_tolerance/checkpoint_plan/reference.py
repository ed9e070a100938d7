"""The job fails as often as its machines together; expm1 keeps the digits."""

import math


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(math.sqrt(2 * write_s * mtbf_s), work_s)
    try:
        piece_s = mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((interval_s + write_s) / mtbf_s)
    except OverflowError:
        return interval_s, math.inf
    return interval_s, work_s / interval_s * piece_s
