"""The sum of gradients that lie in memory which the ranks of a node share: nothing is sent, one pass adds up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mpi4py import MPI

from labkit.mpi.collectives.arguments import block_ends
from labkit.mpi.collectives.fused import kernels, sum_into_all
from labkit.training.data_parallel.node_memory import LINE_BYTES, NodeMemory, open_node_memory
from labkit.training.data_parallel.reducers import AllReduce
from labkit.training.recording import is_simulated

MOST_RANKS = 16  # every rank opens two files of every other one
DTYPES = (torch.float32, torch.float64)


class SharedSum(AllReduce):
    """Within a node, the sum in shared memory; else, and before :meth:`rooms` was called, the library's all-reduce.

    Gradients lie in shared memory from the start. Each rank adds up its part of all ranks' vectors, in the order of the
    ranks, and writes the sum into all of them. Ranks that wait for each other sleep.

    Notes
    -----
    Counted as a ring's messages: 2 n (p - 1) / p bytes of other ranks are read and written by each rank, as many as a
    ring sends. Bitwise equal on all ranks, and the same whatever the buckets.
    """

    def __init__(self):
        super().__init__("library")
        self.name = "auto"
        self.memory: NodeMemory | None = None
        self.vectors: list[list[np.ndarray]] = []  # by bucket and rank
        self.num_meetings = 0

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
        self.memory = open_node_memory(comm, starts[-1])
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

    def reduce(self, comm, vector, key):
        if self.memory is None:
            super().reduce(comm, vector, key)
            return
        vectors, memory = self.vectors[key], self.memory
        steps = 2 * (comm.size - 1)
        comm.add(0, steps, vector.numel() * vector.element_size() * steps // comm.size)
        self._meet(memory)  # all vectors are full
        ends = block_ends(vector.numel(), comm.size)
        start, end = ends[comm.rank], ends[comm.rank + 1]
        if start < end:
            sum_into_all([other[start:end] for other in vectors])
        self._meet(memory)  # all parts are added up

    def _meet(self, memory: NodeMemory) -> None:
        self.num_meetings += 1
        memory.meet(self.num_meetings)

    def leave(self) -> None:
        """This rank takes part no more, and a thread of it that waits comes back with an error."""
        if self.memory is not None:
            self.memory.leave()

    def close(self) -> None:
        """Let go of the memory; no thread may be in :meth:`reduce`."""
        memory, self.memory, self.vectors, self.num_meetings = self.memory, None, [], 0
        if memory is not None:
            memory.leave()
            memory.close()
