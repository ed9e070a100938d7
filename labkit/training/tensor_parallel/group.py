"""The ranks that share one model, and what they say to each other in forward and backward."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from labkit.errors import TrainingError, UsageError
from labkit.training.data_parallel.reducers import find_allreduce
from labkit.training.in_pass import InPass, _here, _neutral
from labkit.training.recording import MAIN, Traffic, is_simulated
from labkit.training.tensor_parallel.shards import Rows

HALF = (torch.float16, torch.bfloat16)
ALLREDUCE, ALLGATHER, REDUCE_SCATTER = "all-reduce", "all-gather", "reduce-scatter"


@dataclass(frozen=True, slots=True)
class Call:
    """One collective call of a rank.

    Attributes
    ----------
    kind : str
        ``"all-reduce"``, ``"all-gather"`` or ``"reduce-scatter"``.
    layer : str
    is_backward : bool
    num_bytes : int
        Of the whole tensor.
    sent_bytes : int
        By this rank, as a ring does it: ``2 n (p - 1) / p`` in an all-reduce, half of it in each of the others.
    """

    kind: str
    layer: str
    is_backward: bool
    num_bytes: int
    sent_bytes: int


class ParallelGroup(InPass):
    """How the ranks that share a model work together.

    Parameters
    ----------
    comm : communicator
        Real ranks, those of a ``%%mpi`` cell, simulated ones; or what :func:`labkit.comm.torch.communicator` made.
    sequence_parallel : bool
        Between the blocks each rank has some rows of the tokens' matrix instead of all of them.
    allreduce : str
        ``"library"``, or an algorithm of :mod:`labkit.mpi.collectives`: see
        :func:`labkit.training.data_parallel.reducers.find_allreduce`.

    Attributes
    ----------
    calls : list of Call
        All that carried data; the announcements of a trainer are not among them.
    rows : Rows or None
        Which rows this rank has in the pass that is under way; set by the model.

    Notes
    -----
    While a trainer is attached, each call is announced by 24 bytes, as in :mod:`labkit.training.zero.exchange`: a rank
    that has failed is met there, wherever the others are, and so is one that is in another layer or has another size.
    """

    def __init__(self, comm, *, sequence_parallel: bool = False, allreduce: str = "library"):
        comm = _for_tensors(comm)
        super().__init__(comm)
        self.rank, self.size = comm.rank, comm.size
        self.sequence_parallel, self.allreduce_name = sequence_parallel, allreduce
        self._allreduce = find_allreduce(allreduce)
        self.calls: list[Call] = []
        self.rows: Rows | None = None
        self.partial_key = self.add("gradients of own rows")

    def attach(self, comm, recorder, gate=None) -> None:
        self.calls = []
        super().attach(_for_tensors(comm), recorder, gate)

    def add(self, name: str) -> int:
        """The key of a layer that communicates."""
        return self.add_layer(name, 1)

    def leave(self) -> None:
        self.rows = None
        super().leave()

    # -- the collectives of layers -----------------------------------------------------------------------

    def all_reduce(self, tensor: torch.Tensor, key: int, *, is_backward: bool = False) -> torch.Tensor:
        """The sum of a tensor over the ranks, a new one. Collective, as all of these."""
        total = tensor.detach().clone(memory_format=torch.contiguous_format)

        def call(comm):
            flat = total.view(-1)
            if flat.device.type == "cpu" and flat.dtype not in HALF:
                self._allreduce(getattr(comm, "inner", comm), flat.numpy())
            else:
                self._allreduce(comm, flat)
            return total

        return self._carry(call, ALLREDUCE, key, is_backward, total)

    def all_reduce_array(self, sendbuf: np.ndarray, recvbuf: np.ndarray, op, key: int) -> None:
        """Of the loss: sums or maxima of few numbers, by the communicator's own all-reduce."""
        if self.size == 1:
            recvbuf[...] = sendbuf
            return
        self._carry(lambda comm: comm.Allreduce(sendbuf, recvbuf, op), ALLREDUCE, key, False, recvbuf)

    def all_gather(
        self, part: torch.Tensor, ends: Sequence[int], key: int, *, is_backward: bool = False
    ) -> torch.Tensor:
        """All rows, (ends[-1], ...), of which this rank has ``ends[rank]`` to ``ends[rank + 1] - 1``."""
        part = part.detach().contiguous()
        if self.size == 1:
            return part
        whole = part.new_empty((ends[-1], *part.shape[1:]))
        counts = _counts(ends, whole)

        def call(comm):
            if len(set(counts)) == 1:
                comm.Allgather(part.view(-1), whole.view(-1))
            else:
                comm.Allgatherv(part.view(-1), [whole.view(-1), counts])
            return whole

        return self._carry(call, ALLGATHER, key, is_backward, whole)

    def reduce_scatter(
        self, whole: torch.Tensor, ends: Sequence[int], key: int, *, is_backward: bool = False
    ) -> torch.Tensor:
        """This rank's rows of the sum of ``whole`` over the ranks."""
        whole = whole.detach().contiguous()
        if self.size == 1:
            return whole
        part = whole.new_empty((ends[self.rank + 1] - ends[self.rank], *whole.shape[1:]))
        counts = _counts(ends, whole)

        def call(comm):
            if whole.dtype in HALF:
                from mpi4py import MPI

                from labkit.comm.torch.half import reduce_pieces

                part.view(-1).copy_(reduce_pieces(comm, whole.view(-1), counts, MPI.SUM))
            elif len(set(counts)) == 1:
                comm.Reduce_scatter_block(whole.view(-1), part.view(-1))
            else:
                comm.Reduce_scatter(whole.view(-1), part.view(-1), counts)
            return part

        return self._carry(call, REDUCE_SCATTER, key, is_backward, whole)

    # -- how a call is made ------------------------------------------------------------------------------

    def _carry(self, call: Callable, kind: str, key: int, is_backward: bool, whole):
        """Make a call where it can be made: on the simulated rank, if backward runs in another thread."""
        if self.size == 1:
            return call(self.comm) if kind != ALLREDUCE else whole
        name = f"{self.names[key]} {'backward' if is_backward else 'forward'}"
        num_bytes = whole.nbytes

        def make():
            if self.recorder is not None:
                self._announce(key, is_backward, name, num_bytes)
            comm = self.comm
            if threading.current_thread() is not threading.main_thread() and hasattr(comm, "raw"):
                comm = _for_tensors(comm.raw)  # autograd's thread of a GPU
            self._count(kind, key, is_backward, num_bytes)
            if self.recorder is None:
                with _neutral(comm):
                    return call(comm)
            with self.recorder.span(name, "collective", MAIN, num_bytes), _neutral(comm):
                return call(comm)

        desk = getattr(_here, "desk", None)
        if desk is not None:
            return desk.ask(make)
        if is_backward and is_simulated(self.comm):
            raise UsageError(
                f"{self.names[key]}: a simulated rank cannot wait inside loss.backward(). Call "
                "labkit.training.tensor_parallel.backward(model, loss) instead, as the trainers do."
            )
        return make()

    def _announce(self, key: int, is_backward: bool, name: str, num_bytes: int) -> None:
        sizes = self._exchange(np.array([float(num_bytes)]), 2 * key + is_backward, name)[:, 0]
        other = np.flatnonzero(sizes != num_bytes)
        if len(other):
            self.is_over = True
            raise TrainingError(
                f"{name}: rank {self.rank} has {num_bytes} bytes and rank {other[0]} {int(sizes[other[0]])}: the ranks "
                "of tensor parallelism take the same samples. Give every rank the whole batch."
            )

    def _count(self, kind: str, key: int, is_backward: bool, num_bytes: int) -> None:
        passes = 2 if kind == ALLREDUCE else 1
        sent = num_bytes * passes * (self.size - 1) // self.size
        self.calls.append(Call(kind, self.names[key], is_backward, num_bytes, sent))
        self.traffic += Traffic(1, passes * (self.size - 1), sent)


def _counts(ends: Sequence[int], whole: torch.Tensor) -> list[int]:
    row = whole[:1].numel() if len(whole) else 0
    return [(end - start) * row for start, end in zip(ends[:-1], ends[1:], strict=True)]


def _for_tensors(comm):
    """The communicator, taking tensors."""
    if comm.size == 1 or getattr(comm, "carries_tensors", False):
        return comm
    from labkit.comm.torch.tensors import TensorComm

    return TensorComm(comm)
