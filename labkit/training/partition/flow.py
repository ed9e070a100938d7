"""What flows between the modules of a model: the common result of both ways of tracing.

A model's forward pass is taken apart at each call of a *leaf*: a module of ``torch.nn``, or one without modules inside.
A piece is such a call and all functions after it, up to the next one; the first piece has what comes before it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from labkit.training.partition.chain import Chain, Layer, SharedParameter


def is_leaf(module: nn.Module) -> bool:
    """Whether the model is never cut inside this module."""
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return False
    return module.__module__.startswith("torch.nn") or next(module.children(), None) is None


def leaves_of(model: nn.Module) -> dict[str, nn.Module]:
    """The outermost leaves inside a model, by name; those of a module that stands in several places once."""
    found, inside = {}, []
    for name, module in model.named_modules():
        if name and is_leaf(module) and not name.startswith(tuple(inside)):
            found[name] = module
            inside.append(f"{name}.")
    return found


def tensors_in(value) -> Iterator[torch.Tensor]:
    """All tensors of a nested structure of tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)


def num_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(slots=True)
class Value:
    """Something that a piece makes: its size, and the last piece that uses it."""

    made_in: int
    num_bytes: int
    has_gradient: bool
    last_use: int


@dataclass
class Flow:
    """Pieces in order of execution.

    Attributes
    ----------
    calls : list of str
        The leaf that each piece begins with.
    values : list of Value
        Everything that pieces make; inputs of the model are made in piece 0.
    parameters : dict of str to set of int
        The pieces that use each parameter.
    """

    calls: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    parameters: dict[str, set[int]] = field(default_factory=dict)

    def uses(self, parameter: str, piece: int) -> None:
        self.parameters.setdefault(parameter, set()).add(piece)

    def crossing(self, piece: int) -> tuple[int, int, int]:
        """What a cut behind a piece sends forward and back, in bytes, and the number of tensors with gradients."""
        cut = [value for value in self.values if value.made_in <= piece < value.last_use]
        with_gradient = [value for value in cut if value.has_gradient]
        sizes = (sum(value.num_bytes for value in some) for some in (cut, with_gradient))
        return (*sizes, len(with_gradient))


@dataclass(frozen=True)
class Measured:
    """By piece: seconds of the passes, and bytes kept from one to the other; by module: bytes that it gives."""

    forward_s: list[float]
    backward_s: list[float]
    stored_bytes: list[int]
    output_bytes: dict[str, int]


def chain_of(model: nn.Module, flow: Flow, measured: Measured) -> Chain:
    """The pieces as layers.

    A module with parameters that runs several times is one layer, with all that runs between. One without parameters
    may run in many stages: its calls belong to the piece before, and its name to no layer.
    """
    parameters, num_pieces = dict(model.named_parameters()), len(flow.calls)
    for name in parameters:
        if name not in flow.parameters:  # no piece uses it: the first one keeps it
            flow.uses(name, 0)
    again = {name for name, count in Counter(flow.calls).items() if count > 1}
    anywhere = {name for name in again if next(model.get_submodule(name).parameters(), None) is None}
    whole = set()
    for name in again - anywhere:
        last = num_pieces - 1 - flow.calls[::-1].index(name)
        whole |= set(range(flow.calls.index(name) + 1, last + 1))
    layers = []
    for k, call in enumerate(flow.calls):
        used = [parameters[name] for name, pieces in flow.parameters.items() if k in pieces]
        forward_bytes, gradient_bytes, num_crossing = flow.crossing(k)
        layers.append(Layer(
            f"{call}:{k}" if call in again else call, () if call in anywhere else (call,), measured.forward_s[k],
            measured.backward_s[k], sum(p.numel() for p in used), sum(map(num_bytes, used)), measured.stored_bytes[k],
            forward_bytes, gradient_bytes, num_crossing,
        ))
    shared = tuple(
        SharedParameter(name, parameters[name].numel(), num_bytes(parameters[name]), tuple(sorted(pieces)))
        for name, pieces in flow.parameters.items() if len(pieces) > 1
    )
    named = [k for k, call in enumerate(flow.calls) if call not in anywhere]
    cuts = [k for k in named[1:] if k not in whole]
    return Chain(tuple(layers), shared, type(model).__name__).merged((0, *cuts, num_pieces))
