"""Rank 0 gives every worker a task, then takes the answers of rank 1, 2, ... in this order.

status: over budget
feedback: one worker after the other
"""

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import compute_for

STOP = 9


def master_worker(comm, tasks, pace_s):
    message, status = np.zeros(1, np.int64), MPI.Status()
    if comm.rank > 0:
        while True:
            comm.Recv(message, 0, MPI.ANY_TAG, status)
            if status.Get_tag() == STOP:
                return None
            compute_for(comm, message[0] * pace_s)
            comm.Send(message**2, 0)
    results, workers = np.zeros(len(tasks), np.int64), np.zeros(len(tasks), np.int64)
    for start in range(0, len(tasks), comm.size - 1):
        stop = min(start + comm.size - 1, len(tasks))
        for task in range(start, stop):
            comm.Send(tasks[task : task + 1], task - start + 1)
        for task in range(start, stop):
            comm.Recv(message, task - start + 1)
            results[task], workers[task] = message[0], task - start + 1
    for worker in range(1, comm.size):
        comm.Send(message, worker, STOP)
    return results, workers
