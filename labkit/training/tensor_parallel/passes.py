"""The backward pass of a divided model, and what is left to do after the last one."""

from __future__ import annotations

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.in_pass import find_in_pass
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.shards import find_partial


def group_of(model: nn.Module) -> ParallelGroup:
    """The ranks that share a model.

    Raises
    ------
    UsageError
        It is not divided.
    """
    group = find_in_pass(model)
    if not isinstance(group, ParallelGroup):
        raise UsageError(
            f"{type(model).__name__} is not divided over ranks: pass what tensor_parallel(model, comm) returned."
        )
    return group


def backward(model: nn.Module, loss: torch.Tensor) -> None:
    """``loss.backward()`` of a divided model, on real or simulated ranks. Collective."""
    group_of(model).backward(loss)


def finish_gradients(model: nn.Module) -> None:
    """After the last backward pass of a step: add up what each rank has of its own rows only. Collective.

    With sequence parallelism these are the parameters of norms, the biases after sums, and the positions: one
    all-reduce for all of them. Without it there is nothing to do.
    """
    group, parameters = group_of(model), find_partial(model)
    if group.size == 1 or not parameters:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    by_type: dict[torch.dtype, list] = {}
    for parameter in parameters:
        by_type.setdefault(parameter.dtype, []).append(parameter)
    for members in by_type.values():
        total = group.all_reduce(torch.cat([p.grad.reshape(-1) for p in members]), group.partial_key)
        for parameter, part in zip(members, total.split([p.numel() for p in members]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))
