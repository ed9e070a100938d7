"""The interval without the time to write: a formula of higher order, half remembered.

status: incorrect
feedback: begin with the interval
"""

import numpy as np


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    mtbf_s = machine_mtbf_s / num_machines
    interval_s = min(np.sqrt(2 * write_s * mtbf_s) - write_s, work_s)
    restarts = np.exp(restart_s / mtbf_s)
    return interval_s, work_s / interval_s * mtbf_s * restarts * np.expm1((interval_s + write_s) / mtbf_s)
