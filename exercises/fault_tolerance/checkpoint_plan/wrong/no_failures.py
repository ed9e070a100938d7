"""Work and checkpoints alone.

status: incorrect
feedback: without any failure
"""

import math


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(math.sqrt(2 * write_s * mtbf_s), work_s)
    try:
        time_s = work_s * (1 + write_s / interval_s)
    except OverflowError:
        time_s = math.inf
    return interval_s, time_s
