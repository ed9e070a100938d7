import math


def checkpoint_plan(work_s, write_s, restart_s, machine_mtbf_s, num_machines):
    """How often to take a checkpoint, and how long the job takes then.

    Parameters
    ----------
    work_s : float
        Computing, without failures and checkpoints.
    write_s, restart_s : float
        One checkpoint; from a failure until the job computes again.
    machine_mtbf_s : float
        Mean time between failures of one machine.
    num_machines : int

    Returns
    -------
    (float, float)
        Young's interval and the expected time, both in s.
    """
    raise NotImplementedError
