"""Patterns that get stuck get stuck, cures do not: on a communicator on which no message is eager."""

import numpy as np
from helpers import Stuck, Synchronous, equal, refused

from labkit.mpi.point_to_point import deadlocks
from labkit.mpi.point_to_point.deadlocks import PATTERNS

COUNT = 40


def buffers(comm, dtype=np.int64):
    return (np.arange(COUNT) + 100 * comm.rank).astype(dtype), np.full(COUNT, -1, dtype)


def expected(comm, name, shifts=1):
    left = (comm.rank - shifts) % comm.size
    if name == "open chain" and comm.rank == 0:
        return np.full(COUNT, -1)
    return np.arange(COUNT) + 100 * left


def check_deadlock_cures_work_without_eager_messages(comm):
    for pattern in PATTERNS:
        if not pattern.is_safe:
            continue
        sendbuf, recvbuf = buffers(comm)
        pattern.function(Synchronous(comm, 60.0), sendbuf, recvbuf)
        equal(recvbuf, expected(comm, pattern.name), pattern.name)
        equal(sendbuf, np.arange(COUNT) + 100 * comm.rank, f"sendbuf after {pattern.name}")
        comm.Barrier()


def check_deadlock_cures_work_on_the_communicator_itself(comm):
    for pattern in PATTERNS:
        if not pattern.is_safe:
            continue
        for dtype in (np.int64, np.float32):
            sendbuf, recvbuf = buffers(comm, dtype)
            pattern.function(comm, sendbuf, recvbuf)
            equal(recvbuf, expected(comm, pattern.name).astype(dtype), pattern.name)


def check_deadlock_patterns_get_stuck(comm):
    for pattern in PATTERNS:
        if pattern.is_safe:
            continue
        if comm.size == 1 and pattern.name == "tags do not match":  # its only rank is its own neighbour
            continue
        impatient = Synchronous(comm, 0.5)
        sendbuf, recvbuf = buffers(comm)
        try:
            pattern.function(impatient, sendbuf, recvbuf)
            stuck = False
        except Stuck:
            stuck = True
        impatient.clear()
        stuck = comm.allgather(stuck)
        if pattern.name == "partner missing":
            # Rank 0 waits for ever. Whether the others finish is up to their own neighbours alone.
            equal(stuck, [True] + [False] * (comm.size - 1), pattern.name)
        else:
            equal(stuck, [True] * comm.size, pattern.name)


def check_deadlock_hides_while_messages_are_eager(comm):
    if comm.size == 1:
        return
    sendbuf, recvbuf = buffers(comm)
    deadlocks.ring_shift_unsafe(Synchronous(comm, 60.0, eager=True), sendbuf, recvbuf)
    equal(recvbuf, expected(comm, "all send first"), "small messages")


def check_deadlock_persistent_shifts_add_up(comm):
    for shifts in (0, 1, 2, comm.size, comm.size + 1):
        sendbuf, recvbuf = buffers(comm)
        deadlocks.ring_shift_persistent(comm, sendbuf, recvbuf, shifts)
        equal(recvbuf, expected(comm, "persistent", shifts), f"{shifts} shifts")
        equal(sendbuf, np.arange(COUNT) + 100 * comm.rank, "sendbuf")


def check_deadlock_catalogue_is_whole(comm):
    names = [pattern.name for pattern in PATTERNS]
    equal(len(set(names)), len(names), "names differ")
    safe = {pattern.function for pattern in PATTERNS if pattern.is_safe}
    for pattern in PATTERNS:
        assert pattern.function.__doc__
        assert (pattern.cure is None) if pattern.is_safe else (pattern.cure in safe), pattern


def check_deadlock_functions_refuse_buffers_that_do_not_fit(comm):
    sendbuf, _ = buffers(comm)
    for pattern in PATTERNS:
        name, where = pattern.function.__name__, f"on rank {comm.rank} of {comm.size}"
        refused(lambda: pattern.function(comm, sendbuf, np.zeros(3, np.int64)), name, where, "(40,)", "(3,)")
        refused(lambda: pattern.function(comm, sendbuf, np.zeros(COUNT)), name, "int64", "float64")
        refused(lambda: pattern.function(comm, sendbuf, sendbuf), name, "share memory", "np.empty_like")
    refused(lambda: deadlocks.ring_shift_persistent(comm, sendbuf, np.zeros_like(sendbuf), -1), "num_shifts", "-1")
