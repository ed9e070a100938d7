"""What a rank keeps of a micro-batch between its forward and its backward, and how many bytes that is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from labkit.training.models.slices import TokenSlice
from labkit.training.pipeline.split_backward import WeightGradients


class SavedTensors:
    """What autograd saves in one forward pass, seen one by one.

    With B and W apart, the graph stays until W, but W needs only a part of what was saved: the inputs of products, not
    those of a GELU. Which part, the first micro-batch shows; later ones let go of the rest after B.

    Parameters
    ----------
    needed : set of int, optional
        Which of them W uses, by the order in which they were saved.
    count : int
        How many there were when that was found out.
    """

    def __init__(self, needed: set[int] | None = None, count: int = 0):
        self.tensors: list[torch.Tensor | None] = []
        self.needed, self.count, self.used_by_w = needed, count, set()
        self.in_w = False

    def watch(self):
        """Forward inside of it."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def drop_after_b(self) -> None:
        """W needs only some of them."""
        if self.needed is not None and len(self.tensors) == self.count:
            self.tensors = [t if k in self.needed else None for k, t in enumerate(self.tensors)]

    def _pack(self, tensor: torch.Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _unpack(self, number: int) -> torch.Tensor:
        if self.in_w:
            self.used_by_w.add(number)
        return self.tensors[number]


@dataclass(eq=False)
class Held:
    """One micro-batch on one stage.

    Attributes
    ----------
    inputs : list
        The values that came in; tensors are leaves.
    outputs : list of torch.Tensor
        What backward starts from.
    is_computed : bool
        False while a checkpointed stage has not been computed again.
    entry : torch.Tensor, tensors in tuples, lists and dicts, or None
    saved : SavedTensors or None
        Where it is watched.
    weights : WeightGradients or None
        What B has left for W.
    part : TokenSlice or None
        Of a plan with slices.
    """

    inputs: list
    outputs: list = field(default_factory=list)
    entry: object = None
    saved: SavedTensors | None = None
    weights: WeightGradients | None = None
    is_computed: bool = False
    part: TokenSlice | None = None

    def drop(self) -> None:
        """Keep the inputs alone."""
        self.outputs, self.entry, self.saved, self.is_computed = [], None, None, False

    def watch(self):
        """Forward inside of it."""
        return contextlib.nullcontext() if self.saved is None else self.saved.watch()

    def tensors(self) -> Iterable[torch.Tensor]:
        """All that is alive because of it."""
        yield from (value for value in self.inputs if torch.is_tensor(value))
        yield from self.outputs
        if self.saved is not None:
            yield from (tensor for tensor in self.saved.tensors if tensor is not None)


def storage_bytes(tensors: Iterable[torch.Tensor], besides: set[int]) -> int:
    """Bytes of the memory behind tensors, each piece once, without those pieces whose addresses are ``besides``."""
    found = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
    return sum(size for address, size in found.items() if address not in besides)
