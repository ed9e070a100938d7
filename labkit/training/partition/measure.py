"""Times and sizes of the pieces of a model: a few forward and backward passes with hooks that read the clock.

A piece lasts from the call of its leaf to that of the next one. In the backward pass it begins when the gradients of
what the next one takes are there, and ends when those of what it takes itself are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from statistics import median

import torch
from torch import nn

from labkit.training.partition.flow import Measured, leaves_of, num_bytes, tensors_in


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Buffers, such as those of batch norm, and random numbers are afterwards as they were."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


class _Clock:
    """Hooks that note when pieces begin, forward and backward."""

    def __init__(self, model: nn.Module):
        self.is_cuda = any(p.is_cuda for p in model.parameters())
        self.calls: list[str] = []
        self.forward_ns: list[int] = []
        self.backward_ns: list[int | None] = []
        self.stored: list[int] = []
        self.early = 0  # bytes kept before the first piece begins: they are its own
        self.output_bytes: dict[str, int] = {}
        self.own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
        self.seen: set[int] = set()
        self.handles = []
        for name, module in leaves_of(model).items():
            self.handles.append(module.register_forward_pre_hook(self._begin(name), with_kwargs=True))
        for name, module in model.named_modules():
            self.handles.append(module.register_forward_hook(self._end(name)))

    def now(self) -> int:
        if self.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter_ns()

    def _begin(self, name: str):
        def hook(module, args, kwargs):
            piece = len(self.calls)
            self.calls.append(name)
            self.stored.append(0)
            self.backward_ns.append(None)
            for tensor in tensors_in((args, kwargs)):
                if tensor.requires_grad and not isinstance(tensor, nn.Parameter):
                    self.handles.append(tensor.register_hook(lambda gradient: self._arrived(piece)))
                    break
            self.forward_ns.append(self.now())

        return hook

    def _end(self, name: str):
        def hook(module, args, results):
            self.output_bytes[name] = sum(map(num_bytes, tensors_in(results)))

        return hook

    def _arrived(self, piece: int) -> None:
        self.backward_ns[piece] = self.now()

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Called with what the backward pass will need."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own and storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            if self.stored:
                self.stored[-1] += storage.nbytes()
            else:
                self.early += storage.nbytes()
        return tensor


def measured_run(model: nn.Module, inputs: tuple) -> tuple[list[str], Measured]:
    """One forward and backward pass: the leaves called, and times and sizes of the pieces."""
    clock = _Clock(model)
    try:
        start = clock.now()
        with torch.autograd.graph.saved_tensors_hooks(clock.pack, lambda tensor: tensor):
            results = model(*inputs)
        end = clock.now()
        wanted = [p for p in model.parameters() if p.requires_grad]
        goals = [t for t in tensors_in(results) if t.requires_grad]
        times = [clock.now()]
        if goals and wanted:
            torch.autograd.grad(goals, wanted, [torch.ones_like(goal) for goal in goals], allow_unused=True)
        finish = clock.now()
    finally:
        for handle in clock.handles:
            handle.remove()
    num_pieces = len(clock.calls)
    if not num_pieces:
        return [], Measured([], [], [], clock.output_bytes)
    begins = [start, *clock.forward_ns[1:], end]
    forward = [(begins[k + 1] - begins[k]) / 1e9 for k in range(num_pieces)]
    for k in reversed(range(1, num_pieces)):  # times[k]: the backward pass is through with the last k pieces
        arrived = clock.backward_ns[k]
        times.append(times[-1] if arrived is None else max(times[-1], arrived))
    times.append(finish)
    backward = [(b - a) / 1e9 for a, b in zip(times, times[1:], strict=False)][::-1]
    clock.stored[0] += clock.early
    return clock.calls, Measured(forward, backward, clock.stored, clock.output_bytes)


def measure(model: nn.Module, inputs: tuple, *, num_repeats: int) -> tuple[list[str], Measured]:
    """The median of several passes after one to warm up; ``num_repeats=0``: sizes only, and no time."""
    inputs = tuple(  # some rows of a large tensor: what is kept of them is not all of it
        x.clone() if torch.is_tensor(x) and x.untyped_storage().nbytes() > x.nbytes else x for x in inputs
    )
    calls, first = measured_run(model, inputs)
    runs = [measured_run(model, inputs)[1] for _ in range(num_repeats)]
    zero = [0.0] * len(calls)
    forward = [median(times) for times in zip(*(run.forward_s for run in runs), strict=True)] if runs else zero
    backward = [median(times) for times in zip(*(run.backward_s for run in runs), strict=True)] if runs else zero
    return calls, Measured(forward, backward, first.stored_bytes, first.output_bytes)
