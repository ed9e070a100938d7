"""Reduce-scatter and all-gather of units; before each, the ranks tell each other that they are well.

A rank that fails in the middle of forward or backward cannot know where the others are. So every collective is
announced by 16 bytes: what it is, and how the rank is. A rank that has failed announces that, once, wherever the others
are; they raise, and nobody waits for a message that does not come. The same announcement finds ranks that are about to
do different things. Announcements are not part of the traffic of ZeRO and not counted.
"""

from __future__ import annotations

import numpy as np
import torch
from mpi4py import MPI

from labkit.errors import TrainingError
from labkit.training.in_pass import PeerFailedError

WELL, FAILED = 0, 1
GATHER, REDUCE, END, LAYER = range(4)
NAMES = ("all-gather", "reduce-scatter", "the end", "layer")
TAG = 41


class Exchange:
    """The collectives of one rank.

    Parameters
    ----------
    comm : CountingComm
        What it sends is counted.
    recorder : Recorder
    """

    def __init__(self, comm, recorder):
        self.comm, self.recorder = comm, recorder
        self.is_broken = False
        self.layers: dict[int, str] = {}  # names of layers that communicate too, by their numbers in announcements

    def announce(self, what: int, number: int = 0, state: int = WELL) -> None:
        """All ranks say what they do next.

        Raises
        ------
        TrainingError
            A rank has failed, or ranks are about to do different things.
        """
        if self.comm.size == 1 or self.is_broken:
            return
        mine = np.array([state, what * 10**6 + number], np.int64)
        everyone = np.empty((self.comm.size, 2), np.int64)
        self.comm.comm.Allgather(mine, everyone)
        failed = np.flatnonzero(everyone[:, 0])
        if len(failed):
            self.is_broken = True
            if state == WELL:
                raise PeerFailedError(f"rank {failed[0]} failed in this step", ranks=tuple(map(int, failed)))
        elif len(set(everyone[:, 1].tolist())) > 1:
            self.is_broken = True
            words = [f"rank {r} at {self._place(*divmod(int(w), 10**6))}" for r, (_, w) in enumerate(everyone)]
            raise TrainingError(
                f"the ranks went different ways through the model: {', '.join(words)}. ZeRO needs the same modules in the "
                f"same order on every rank: make forward independent of the samples, or choose 'overlapped'."
            )

    def _place(self, what: int, number: int) -> str:
        return NAMES[END] if what == END else f"{NAMES[what]} {self.layers.get(number, number) if what == LAYER else number}"

    def all_gather(self, unit) -> None:
        """``unit.full`` gets the shards of all ranks, around a ring: each rank passes N - 1 shards on."""
        self.announce(GATHER, unit.number)
        size, rank, length = self.comm.size, self.comm.rank, unit.shard_size * unit.itemsize
        if size == 1:
            return
        host = unit.full.detach() if unit.full.device.type == "cpu" else unit.full.detach().cpu()
        values = bytes_of(host)
        left, right = (rank - 1) % size, (rank + 1) % size
        with self.recorder.span(f"all-gather {unit.number}", "collective", num_bytes=values.nbytes):
            self.comm.add(1, 0, 0)
            for step in range(size - 1):
                out, into = ((rank - step) % size) * length, ((rank - step - 1) % size) * length
                self.comm.Sendrecv(values[out : out + length], right, TAG, values[into : into + length], left, TAG)
        if host.data_ptr() != unit.full.data_ptr():
            unit.full.data.copy_(host)

    def reduce_scatter(self, unit, flat: torch.Tensor) -> torch.Tensor:
        """This rank's shard of the sum of ``flat`` over the ranks.

        Every rank sends each other one its shard; what comes in is added up in the order of the ranks, in the
        optimizer's type, and rounded once, so the bits do not depend on who was first.
        """
        self.announce(REDUCE, unit.number)
        size, rank, length = self.comm.size, self.comm.rank, unit.shard_size
        kind = unit.master.dtype
        if size == 1:
            return flat
        host = flat if flat.device.type == "cpu" else flat.cpu()
        values = bytes_of(host).reshape(size, -1)
        parts = torch.empty((size, length), dtype=host.dtype)
        rows = bytes_of(parts).reshape(size, -1)
        rows[rank] = values[rank]
        with self.recorder.span(f"reduce-scatter {unit.number}", "collective", num_bytes=values.nbytes):
            self.comm.add(1, 0, 0)
            for step in range(1, size):
                to, source = (rank + step) % size, (rank - step) % size
                self.comm.Sendrecv(values[to], to, TAG, rows[source], source, TAG)
        total = parts[0].to(kind)
        for part in parts[1:]:
            total = total + part.to(kind)
        return total.to(flat.dtype).to(flat.device)

    def add_up(self, value: float) -> float:
        """The sum of a number over the ranks, in their order; not counted."""
        if self.comm.size == 1:
            return value
        everyone = np.empty(self.comm.size)
        self.comm.comm.Allgather(np.array([value]), everyone)
        return float(sum(everyone.tolist()))


def bytes_of(tensor: torch.Tensor) -> np.ndarray:
    """The memory of a contiguous tensor on the CPU, as bytes; ``tensor.numpy()`` would fix the size of its storage for ever."""
    return np.frombuffer(MPI.buffer.fromaddress(tensor.data_ptr(), tensor.numel() * tensor.element_size()), np.uint8)
