"""The job is restarted once.

status: incorrect
feedback: the interval is right
"""

import numpy as np


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(np.sqrt(2 * write_s * mtbf_s), work_s)
    return interval_s, work_s / interval_s * mtbf_s * np.expm1((interval_s + write_s) / mtbf_s) + restart_s
