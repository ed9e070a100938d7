import numpy as np
from mpi4py import MPI

from labkit.comm.reduction import compute_for

TASK, RESULT, STOP = 1, 2, 3


def master_worker(comm, tasks, pace_s):
    """A message is (number of the task, units or result); its tag says what it is."""
    if comm.rank == 0:
        return hand_out(comm, tasks)
    return work(comm, pace_s)


def hand_out(comm, tasks):
    """Keep every worker busy with one task, and give the next one to whoever answers."""
    results, workers = np.zeros(len(tasks), np.int64), np.zeros(len(tasks), np.int64)
    following = 0
    for worker in range(1, min(comm.size, len(tasks) + 1)):
        comm.Send(np.array([following, tasks[following]]), worker, TASK)
        following += 1
    message, status = np.zeros(2, np.int64), MPI.Status()
    for _ in range(len(tasks)):
        comm.Recv(message, MPI.ANY_SOURCE, RESULT, status)
        worker = status.Get_source()
        results[message[0]], workers[message[0]] = message[1], worker
        if following < len(tasks):
            comm.Send(np.array([following, tasks[following]]), worker, TASK)
            following += 1
    for worker in range(1, comm.size):
        comm.Send(message, worker, STOP)
    return results, workers


def work(comm, pace_s):
    """Do tasks until told to stop."""
    message, status = np.zeros(2, np.int64), MPI.Status()
    while True:
        comm.Recv(message, 0, MPI.ANY_TAG, status)
        if status.Get_tag() == STOP:
            return None
        compute_for(comm, message[1] * pace_s)
        message[1] *= message[1]
        comm.Send(message, 0, RESULT)
