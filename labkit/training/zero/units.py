"""A unit: the parameters that one module owns, one behind the other in a flat vector that the ranks share out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


class Unit:
    """Parameters of one type in a flat vector, whose length is rounded up to a multiple of the number of ranks.

    The parameters are views of it. Its storage can be given back and taken again: views, also those that autograd has
    saved for the backward pass, then see the values again.

    Parameters
    ----------
    number : int
    names : sequence of str
    parameters : sequence of torch.nn.Parameter
        Of one type, on one device; their values are moved into the unit.
    num_ranks, rank : int
    dtype : torch.dtype
        What the parameters become.

    Attributes
    ----------
    full : torch.Tensor
        Flat; its storage may be empty.
    shard_size : int
        Elements of each rank's shard.
    short_shard : torch.Tensor or None
        This rank's shard in the parameters' type, where that is another one and ``full`` is given back.
    master : torch.nn.Parameter
        This rank's shard as the optimizer sees it: float32 if ``dtype`` is shorter, a view of ``full`` if both may be one.
    """

    def __init__(self, number, names, parameters, num_ranks: int, rank: int, dtype: torch.dtype, *, keeps_full: bool):
        self.number, self.names, self.parameters = number, tuple(names), tuple(parameters)
        self.numel = sum(parameter.numel() for parameter in self.parameters)
        self.shard_size = -(-self.numel // num_ranks)
        self.rank, self.keeps_full = rank, keeps_full
        first = self.parameters[0]
        self.full = torch.zeros(self.shard_size * num_ranks, dtype=dtype, device=first.device)
        values = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        self.full[: self.numel] = values
        self.itemsize = self.full.element_size()
        mine = self.shard_of(values, num_ranks)
        needs_master = dtype != first.dtype or not keeps_full
        self.master = nn.Parameter(mine if needs_master else self.shard(), requires_grad=True)
        self.has_own_master = needs_master
        for parameter, (start, stop) in zip(self.parameters, self.bounds(), strict=True):
            parameter.grad = None
            parameter.data = self.full[start:stop].view_as(parameter)
        self.gradient: torch.Tensor | None = None  # of the shard
        self.full_gradient: torch.Tensor | None = None
        self.short_shard: torch.Tensor | None = None
        self.keep_short_shard()
        if not keeps_full:
            self.release()

    def shard_of(self, values: torch.Tensor, num_ranks: int) -> torch.Tensor:
        """This rank's shard of values that lie one behind the other, a copy."""
        padded = torch.zeros(self.shard_size * num_ranks, dtype=values.dtype, device=values.device)
        padded[: self.numel] = values
        return padded[self.rank * self.shard_size : (self.rank + 1) * self.shard_size].clone()

    def bounds(self) -> list[tuple[int, int]]:
        """Start and stop of each parameter."""
        ends = [0]
        for parameter in self.parameters:
            ends.append(ends[-1] + parameter.numel())
        return list(zip(ends, ends[1:], strict=False))

    def shard(self) -> torch.Tensor:
        """This rank's part of ``full``."""
        return self.full[self.rank * self.shard_size : (self.rank + 1) * self.shard_size]

    @property
    def is_full(self) -> bool:
        """Whether ``full`` has its memory."""
        return self.full.untyped_storage().nbytes() > 0

    def take_memory(self) -> None:
        """Give ``full`` memory, and this rank's shard its values."""
        self.full.untyped_storage().resize_(self.full.numel() * self.itemsize)
        self.copy_from_master()

    def keep_short_shard(self) -> None:
        """Of short parameters that are given back, the shard stays in their type as well: what others gather."""
        if not self.keeps_full and self.full.dtype != self.master.dtype:
            self.short_shard = self.master.data.to(self.full.dtype)

    def copy_from_master(self) -> None:
        """This rank's shard of ``full`` becomes what the optimizer has made of it."""
        if self.has_own_master:
            self.shard().data.copy_(self.master.data if self.short_shard is None else self.short_shard)

    def release(self) -> None:
        """Give the memory of ``full`` back."""
        self.full.untyped_storage().resize_(0)

    def keep_gradients(self) -> None:
        """The parameters' gradients are views of one vector, zeros, that stays."""
        if self.full_gradient is None:
            self.full_gradient = torch.zeros_like(self.full)
        self.full_gradient.zero_()
        for parameter, (start, stop) in zip(self.parameters, self.bounds(), strict=True):
            parameter.grad = self.full_gradient[start:stop].view_as(parameter)

    def flat_gradient(self) -> torch.Tensor:
        """The parameters' gradients one behind the other, zeros for those without; let go unless they are kept."""
        if self.full_gradient is not None:
            return self.full_gradient
        flat = torch.zeros(self.full.numel(), dtype=self.full.dtype, device=self.full.device)
        for parameter, (start, stop) in zip(self.parameters, self.bounds(), strict=True):
            if parameter.grad is not None:
                flat[start:stop] = parameter.grad.reshape(-1)
                parameter.grad = None
        return flat

    def dissolve(self) -> None:
        """The parameters get memory of their own, of the optimizer's type; ``full`` must be full."""
        for parameter, (start, stop) in zip(self.parameters, self.bounds(), strict=True):
            parameter.data = self.full[start:stop].view(parameter.shape).to(self.master.dtype).clone()
            parameter.grad = None


def make_units(model: nn.Module, num_ranks: int, rank: int, dtype: torch.dtype | None, *, keeps_full: bool) -> list[Unit]:
    """The trained parameters of a model in units, in the order of the modules that own them first; and of one type."""
    names = {id(parameter): name for name, parameter in reversed(list(model.named_parameters()))}
    seen: set[int] = set()
    units: list[Unit] = []
    for module in model.modules():
        kinds: dict = {}
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
        for (kind, _), parameters in kinds.items():
            own = [names[id(parameter)] for parameter in parameters]
            units.append(Unit(len(units), own, parameters, num_ranks, rank, dtype or kind, keeps_full=keeps_full))
    return units


def live_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the storages behind tensors, each once; a storage that was given back has none.

    Examples
    --------
    >>> x = torch.zeros(10)
    >>> y = torch.zeros(5)
    >>> _ = y.untyped_storage().resize_(0)
    >>> live_bytes([x, x[2:4], y])
    40
    """
    storages = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
    return sum(storages.values())
