"""Rounded up to whole intervals.

status: incorrect
feedback: work / interval stays
"""

import math


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(math.sqrt(2 * write_s * mtbf_s), work_s)
    try:
        restarts = math.exp(restart_s / mtbf_s)
        time_s = math.ceil(work_s / interval_s) * mtbf_s * restarts * math.expm1((interval_s + write_s) / mtbf_s)
    except OverflowError:
        time_s = math.inf
    return interval_s, time_s
