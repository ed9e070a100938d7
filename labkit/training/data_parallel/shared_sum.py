"""The sum of gradients that lie in memory which the ranks of a node share: nothing is sent, one pass adds up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mpi4py import MPI

from labkit.mpi.collectives.arguments import block_ends
from labkit.mpi.collectives.fused import kernels, sum_into_all
from labkit.training.data_parallel.comm_thread import wait_until
from labkit.training.data_parallel.node_memory import ARRIVED, DONE, LINE_BYTES, NodeMemory, open_node_memory
from labkit.training.data_parallel.reducers import AllReduce
from labkit.training.recording import is_simulated

MOST_RANKS = 16  # every rank opens two files of every other one
DTYPES = (torch.float32, torch.float64)


class SharedSum(AllReduce):
    """Within a node, the sum in shared memory; else, and before :meth:`rooms` was called, the library's all-reduce.

    Gradients lie in shared memory from the start. Each rank adds up its part of all ranks' vectors, in the order of the
    ranks, and writes the sum into all of them, as soon as all have offered theirs and it looks after them: between two
    layers of a backward pass, in its own thread. A second thread would take the core away in the middle of a product of
    matrices, and empty its caches. Ranks that wait for each other sleep.

    Notes
    -----
    Counted as a ring's messages: 2 n (p - 1) / p bytes of other ranks are read and written by each rank, as many as a
    ring sends. Bitwise equal on all ranks, and the same whatever the buckets.
    """

    def __init__(self):
        super().__init__("library")
        self.name = "auto"
        self.vectors: list[list[np.ndarray]] = []  # by bucket and rank
        self._begin(None)

    def rooms(self, comm, kinds: Sequence[tuple[int, torch.dtype, torch.device]]) -> list[torch.Tensor] | None:
        """This rank's vectors of these lengths, types, and devices, full of zeros, in shared memory. Collective.

        None where the ranks do not share memory: then :meth:`reduce` takes any vector.
        """
        mine = getattr(comm, "comm", comm)
        fits = all(dtype in DTYPES and device.type == "cpu" for _, dtype, device in kinds)
        if is_simulated(mine) or not isinstance(mine, MPI.Comm) or not 2 <= comm.size <= MOST_RANKS or not fits:
            return None
        starts = [0]
        for length, dtype, _ in kinds:
            starts.append(starts[-1] + -(-length * dtype.itemsize // LINE_BYTES) * LINE_BYTES)
        self.comm = comm
        self._begin(open_node_memory(comm, starts[-1]))
        if self.memory is None:
            return None
        for (length, dtype, _), start in zip(kinds, starts, strict=False):
            end = start + length * dtype.itemsize
            form = np.float32 if dtype == torch.float32 else np.float64
            self.vectors.append([room[start:end].view(form) for room in self.memory.rooms])
        for form in {dtype for _, dtype, _ in kinds}:  # compiled now, not in the first step
            if comm.size in kernels():
                sum_into_all([torch.zeros(1, dtype=form).numpy() for _ in range(comm.size)])
        return [torch.from_numpy(vectors[comm.rank]) for vectors in self.vectors]

    @property
    def can_start(self) -> bool:
        """Whether :meth:`start` can be called."""
        return self.memory is not None

    def start(self, comm, vector, key: int, offer: Callable[[int], None] | None = None) -> SharedRequest:
        """Begin to add a vector up; all ranks begin with theirs in one order. Not collective: nobody is waited for.

        Parameters
        ----------
        offer : callable
            Calls :meth:`offer` with the number that it gets, later or from another thread; vectors in order.
        """
        self.num_started += 1
        self.pending.append(key)
        (offer or self.offer)(self.num_started)
        return SharedRequest(self, self.num_started)

    def offer(self, number: int) -> None:
        """The vector that was started as number so much may be read and written by the others."""
        if self.memory is not None:
            self.memory.announce(ARRIVED, number, to_self=True)

    def add_up(self) -> None:
        """Add up this rank's part of all vectors that all ranks have offered."""
        memory = self.memory
        while self.num_added < memory.lowest(ARRIVED):
            vectors = self.vectors[self.pending.popleft()]
            ends = block_ends(vectors[0].size, len(vectors))
            start, end = ends[memory.rank], ends[memory.rank + 1]
            if start < end:
                sum_into_all([vector[start:end] for vector in vectors])
            self.num_added += 1
            memory.announce(DONE, self.num_added)

    def reduce(self, comm, vector, key):
        if self.memory is None:
            super().reduce(comm, vector, key)
            return
        steps = 2 * (comm.size - 1)
        comm.add(0, steps, vector.numel() * vector.element_size() * steps // comm.size)
        wait_until(comm, self.start(comm, vector, key).is_done)

    def leave(self) -> None:
        """This rank takes part no more, and a thread of it that waits comes back with an error."""
        if self.memory is not None:
            self.memory.leave()

    def close(self) -> None:
        """Let go of the memory; no thread may be in :meth:`reduce`."""
        memory = self.memory
        self._begin(None)
        if memory is not None:
            memory.leave()
            memory.close()

    def _begin(self, memory: NodeMemory | None) -> None:
        self.memory, self.vectors = memory, []
        self.num_started = self.num_added = 0
        self.pending: deque[int] = deque()  # started, and this rank's part not added up


class SharedRequest:
    """A vector on its way, in the manner of a request of MPI: looking at it moves it."""

    def __init__(self, reducer: SharedSum, number: int):
        self.reducer, self.number = reducer, number

    def Test(self) -> bool:
        self.reducer.add_up()
        return self.reducer.memory.lowest(DONE) >= self.number

    def is_done(self, timeout_s: float) -> bool:
        """The same, and sleep for a while if it is not."""
        if self.Test():
            return True
        self.reducer.memory.nap(timeout_s, DONE, self.number)
        return self.Test()

    def Wait(self) -> None:
        """Until it is done. The wait can be interrupted."""
        wait_until(self.reducer.comm, self.is_done)
