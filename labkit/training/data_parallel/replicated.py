"""What all data-parallel strategies share."""

from __future__ import annotations

import numpy as np
import torch

from labkit.training.data_parallel.counting import CountingComm
from labkit.training.data_parallel.reducers import Reducer, make_reducer
from labkit.training.recording import MAIN, Traffic
from labkit.training.strategies import StrategyBase


class Replicated(StrategyBase):
    """Every rank holds the whole model; after :meth:`finish_backward` every rank holds the whole batch's gradient.

    Parameters
    ----------
    algorithm : str or Reducer
        Of the all-reduce; see :mod:`.reducers`.
    broadcast_buffers : bool
        After each backward pass, the model's buffers (the running statistics of batch norm) become those of rank 0.
        Without, each rank keeps those of its own shards.
    """

    name = "replicated"

    def __init__(self, *, algorithm: str | Reducer = "library", broadcast_buffers: bool = True):
        self.reducer, self.broadcast_buffers = make_reducer(algorithm), broadcast_buffers

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        self.counting = CountingComm(comm)
        super().attach(self.counting, model, optimizer_factory, options, recorder)
        self.floating_buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]

    def finish_backward(self) -> None:
        self.reduce_gradients()
        if self.broadcast_buffers and self.comm.size > 1:
            for buffer in self.floating_buffers:
                broadcast(self.comm, buffer, self.recorder)

    def reduce_gradients(self) -> None:
        """The gradients become their sums over the ranks."""
        raise NotImplementedError

    def reduce(self, comm, tensor: torch.Tensor, key: int, name: str, lane: str = MAIN) -> None:
        """Add a flat gradient up over the ranks, in place; one on a GPU goes through the host's memory."""
        if comm.size == 1:
            return
        with self.recorder.span(name, "collective", lane, tensor.numel() * tensor.element_size()):
            comm.add(1, 0, 0)
            if tensor.device.type == "cpu":
                self.reducer.reduce(comm, tensor, key)
            else:
                host = tensor.cpu()
                self.reducer.reduce(comm, host, key)
                tensor.copy_(host)

    def traffic(self) -> Traffic:
        return self.counting.total

    def memory(self) -> dict[str, int]:
        return super().memory() | {"buffers": self.reducer.memory_bytes()}

    def state_dict(self) -> dict:
        return super().state_dict() | {"reducer": self.reducer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.reducer.load_state_dict(state.get("reducer", {}))


def broadcast(comm, tensor: torch.Tensor, recorder, root: int = 0) -> None:
    """Rank root's values of a tensor, into everybody's."""
    host = tensor.detach().cpu().contiguous()
    values: np.ndarray = host.numpy()
    with recorder.span("buffers", "collective", MAIN, values.nbytes):
        comm.Bcast(values, root)
    with torch.no_grad():
        if host.data_ptr() != tensor.data_ptr():
            tensor.copy_(host)
