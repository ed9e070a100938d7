"""One-sided: the weights lie in windows, workers read them with Get and add to them with Accumulate.

A server computes nothing. Its window holds its block of the weights; that of the first server holds the clocks as well:
how many steps each worker has pushed, and how many it has begun. A worker that the rule holds back looks at them again
and again. The optimizer is part of the workers, so it must be one whose steps simply add up: gradient descent, with or
without momentum (each worker's own; the sum of them is the momentum of the sum).

With the bound 0 two things more are needed, for additions in another order give other bits, and a worker that is quick
could overwrite what a slow one has not read: before it pushes step c, a worker waits until all have read for step c,
and until the workers before it have pushed theirs.

An MPI library may complete one-sided calls only when their target is inside MPI (MPICH does): the servers look in
every fifth of a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from mpi4py import MPI

from labkit.training.parameter_server.consistency import Consistency

LOOK_IN_S = 2e-4
FINISHED = np.iinfo(np.int64).max // 4  # the clock of a worker that needs nothing more


class WeightWindows:
    """The windows of a group of servers and workers; made and freed by all ranks together.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    servers : sequence of int
        Ranks that hold the blocks.
    bounds : sequence of (int, int)
        Start and stop of the blocks.
    dtype : dtype
    """

    def __init__(self, comm, servers: Sequence[int], bounds: Sequence[tuple[int, int]], dtype):
        self.comm, self.servers, self.bounds = comm, tuple(servers), tuple(bounds)
        self.workers = tuple(rank for rank in range(comm.size) if rank not in self.servers)
        self.is_server = comm.rank in self.servers
        start, stop = self.bounds[self.servers.index(comm.rank)] if self.is_server else (0, 0)
        itemsize = np.dtype(dtype).itemsize
        self._values = MPI.Win.Allocate((stop - start) * itemsize, itemsize, comm=comm)
        # By worker: steps pushed, steps begun; then the number of all pushes.
        num_counts = 2 * len(self.workers) + 1 if comm.rank == self.servers[0] else 0
        self._counts = MPI.Win.Allocate(8 * num_counts, 8, comm=comm)
        self.block = np.frombuffer(self._values.tomemory(), dtype)
        counts = np.frombuffer(self._counts.tomemory(), np.int64)
        counts[:] = 0
        self.block[:] = 0
        comm.Barrier()
        self._values.Lock_all()
        self._counts.Lock_all()

    def free(self) -> None:
        """Give the memory back; all ranks must call it."""
        del self.block
        for window in (self._values, self._counts):
            window.Unlock_all()
            window.Free()

    def look_in(self) -> None:
        """Give the MPI library a chance to serve others."""
        self.comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG)

    def counts(self) -> np.ndarray:
        """(2, num_workers): steps pushed and steps begun; as the first server has them now."""
        found = np.empty(2 * len(self.workers), np.int64)
        zero = np.zeros(1, np.int64)
        for place in range(found.size):  # MPI_Get may see half of what another rank writes, this may not
            self._counts.Fetch_and_op(zero, found[place : place + 1], self.servers[0], place, MPI.SUM)
        self._counts.Flush(self.servers[0])
        return found.reshape(2, -1)

    def add_count(self, row: int, worker_num: int, amount: int = 1) -> None:
        """Add to a count of a worker: row 0 steps pushed, 1 steps begun."""
        self._fetch_and_add(row * len(self.workers) + worker_num, amount)

    def next_version(self, amount: int) -> int:
        """The number of all pushes so far; ``amount`` is added to it."""
        return self._fetch_and_add(2 * len(self.workers), amount)

    def _fetch_and_add(self, place: int, amount: int) -> int:
        found, added = np.empty(1, np.int64), np.array([amount], np.int64)
        self._counts.Fetch_and_op(added, found, self.servers[0], place, MPI.SUM)
        self._counts.Flush(self.servers[0])
        return int(found[0])

    def get(self, weights: np.ndarray) -> None:
        """Read all blocks."""
        for server, (start, stop) in zip(self.servers, self.bounds, strict=True):
            self._values.Get(weights[start:stop], server)
        for server in self.servers:
            self._values.Flush(server)

    def accumulate(self, change: np.ndarray) -> None:
        """Add to all blocks, each element atomically."""
        for server, (start, stop) in zip(self.servers, self.bounds, strict=True):
            self._values.Accumulate(change[start:stop], server, op=MPI.SUM)
        for server in self.servers:
            self._values.Flush(server)


def serve_windows(windows: WeightWindows) -> None:
    """Look in until every worker has finished."""
    while (windows.counts()[0] < FINISHED).any():
        windows.look_in()
        time.sleep(LOOK_IN_S)


class WindowClient:
    """A worker's side: waits as the rule demands, reads, and adds its changes.

    Parameters
    ----------
    windows : WeightWindows
    consistency : Consistency or str
    change : callable
        ``change(gradient, clock, share)``: turns the gradient, to be weighted by the worker's share, into what is to be
        added to the weights, in place.
    """

    def __init__(
        self, windows: WeightWindows, consistency: Consistency | str, change: Callable[[np.ndarray, int, float], None]
    ):
        self._windows, self._consistency, self._change = windows, Consistency.parse(consistency), change
        self._num = windows.workers.index(windows.comm.rank)
        self._version = 0
        self.stalenesses: list[int] = []

    def pull(self, weights: np.ndarray, clock: int) -> tuple[int, int]:
        """Fill ``weights``; returns the number of pushes before, and how many of earlier steps were missing."""
        pushed = self._wait(lambda counts: self._consistency.allows(clock, int(counts[0].min())))[0]
        self._version = self._windows.next_version(0)
        self._windows.get(weights)
        self._windows.add_count(1, self._num)
        return self._version, int(np.maximum(0, clock - pushed).sum())

    def push(self, gradient: np.ndarray, clock: int, share: float) -> None:
        """Add this worker's change; ``gradient`` is used up."""
        self._change(gradient, clock, share)
        if self._consistency.bound == 0:
            self._wait(lambda counts: (counts[1] > clock).all() and (counts[0, : self._num] > clock).all())
        self._windows.accumulate(gradient)
        in_step = self._num if self._consistency.bound == 0 else 0  # pushed in this step before: not stale
        self.stalenesses.append(self._windows.next_version(1) - self._version - in_step)
        self._windows.add_count(0, self._num)

    def finish(self) -> None:
        """This worker needs nothing more, and holds nobody back."""
        for row in range(2):
            self._windows.add_count(row, self._num, FINISHED)

    def _wait(self, allows: Callable[[np.ndarray], bool]) -> np.ndarray:
        while not allows(counts := self._windows.counts()):
            time.sleep(LOOK_IN_S)
        return counts
