"""The 2 is forgotten.

status: incorrect
feedback: 2 under the root
"""

import math


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(math.sqrt(write_s * mtbf_s), work_s)
    try:
        restarts = math.exp(restart_s / mtbf_s)
        time_s = work_s / interval_s * mtbf_s * restarts * math.expm1((interval_s + write_s) / mtbf_s)
    except OverflowError:
        time_s = math.inf
    return interval_s, time_s
