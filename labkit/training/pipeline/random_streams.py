"""Random numbers of dropout that depend on step, micro-batch and layer alone, not on who computes what when.

One stream of random numbers a process would give other dropout masks on other numbers of ranks, with another schedule,
and when a stage is computed again for its backward pass. Here every layer that draws starts a stream of its own, found
from (seed, step, micro-batch, name of the layer), each time that it is called. A stage as a whole has one as well, for
functions that are no layers; those depend on the cut.
"""

from __future__ import annotations

import contextlib
import hashlib

import torch
from torch import nn

from labkit.training.serial import Serial

DRAWS = (nn.modules.dropout._DropoutNd, nn.RReLU)


def draws(module: nn.Module) -> bool:
    """Whether a layer draws random numbers in training, as far as its kind or its ``dropout`` says."""
    rate = getattr(module, "dropout", 0.0)
    return isinstance(module, DRAWS) or (isinstance(rate, float) and rate > 0)


class RandomStreams:
    """Streams for the layers of a model.

    Parameters
    ----------
    model : torch.nn.Module
    seed : int
    device : torch.device

    Examples
    --------
    >>> layer = nn.Sequential(nn.Dropout(0.5))
    >>> streams, x = RandomStreams(layer, 0, torch.device("cpu")), torch.ones(8)
    >>> with streams.at(3, 1):
    ...     first = layer(x)
    >>> with streams.at(3, 1):
    ...     second = layer(x)
    >>> bool((first == second).all())
    True
    """

    def __init__(self, model: nn.Module, seed: int, device: torch.device):
        self.seed, self.device = seed, device
        self.now: tuple[int, int] | None = None
        self.handles = [
            module.register_forward_pre_hook(lambda _, __, name=name: self._start(name))
            for name, module in model.named_modules() if draws(module)
        ]

    @contextlib.contextmanager
    def at(self, step: int, microbatch: int, place: str = ""):
        """What is drawn inside is that of this step and micro-batch; the process's own stream stays where it is."""
        before = torch.get_rng_state()
        on_gpu = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        self.now = step, microbatch
        self._start(place)
        try:
            yield
        finally:
            self.now = None
            torch.set_rng_state(before)
            if on_gpu is not None:
                torch.cuda.set_rng_state(on_gpu, self.device)

    def close(self) -> None:
        """Let go of the model."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _start(self, name: str) -> None:
        if self.now is None:  # evaluation
            return
        key = hashlib.blake2b(f"{self.seed}:{self.now[0]}:{self.now[1]}:{name}".encode(), digest_size=8).digest()
        seed = int.from_bytes(key, "little") >> 1
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)


class SerialWithStreams(Serial):
    """One process whose layers draw as those of a pipeline do: the oracle for models with dropout."""

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        super().attach(comm, model, optimizer_factory, options, recorder)
        self.streams = RandomStreams(model, options.seed, next(model.parameters()).device)
        self.num_steps, self.number = -1, 0

    def start_step(self) -> None:
        super().start_step()
        self.num_steps, self.number = self.num_steps + 1, -1

    def start_micro_batch(self, is_last: bool) -> None:
        self.number += 1
        self.streams.now = self.num_steps, self.number

    def finish_backward(self) -> None:
        self.streams.now = None

    def detach(self) -> None:
        self.streams.close()
        super().detach()
