"""The tasks are dealt round-robin before anybody works.

status: over budget
feedback: dealt out beforehand
"""

import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import compute_for


def master_worker(comm, tasks, pace_s):
    message = np.zeros(2, np.int64)
    if comm.rank > 0:
        count = np.zeros(1, np.int64)
        comm.Recv(count, 0)
        mine = np.zeros(count[0], np.int64)
        if count[0]:
            comm.Recv(mine, 0)
        for position, units in enumerate(mine):
            compute_for(comm, units * pace_s)
            comm.Send(np.array([position, units * units]), 0)
        return None
    num_workers = comm.size - 1
    for worker in range(1, comm.size):
        part = tasks[worker - 1 :: num_workers].copy()
        comm.Send(np.array([len(part)]), worker)
        if len(part):
            comm.Send(part, worker)
    results, workers = np.zeros(len(tasks), np.int64), np.zeros(len(tasks), np.int64)
    status = MPI.Status()
    for _ in range(len(tasks)):
        comm.Recv(message, MPI.ANY_SOURCE, 0, status)
        task = message[0] * num_workers + status.Get_source() - 1
        results[task], workers[task] = message[1], status.Get_source()
    return results, workers
