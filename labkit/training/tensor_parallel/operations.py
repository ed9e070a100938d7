"""Functions with one communication forward and its counterpart backward.

=====================  =======================================  =========================================
function               forward                                  backward
=====================  =======================================  =========================================
``copy_to_ranks``      nothing: all ranks have the values       all-reduce: each rank has a part of the sum
``sum_over_ranks``     all-reduce of partial sums               nothing: all ranks have the gradient
``gather_rows``        all-gather of rows                       reduce-scatter, or this rank's rows
``sum_to_rows``        reduce-scatter of partial sums           all-gather
``own_rows``           this rank's rows                         all-gather
``gather_columns``     all-gather of columns                    this rank's columns
=====================  =======================================  =========================================

Megatron calls the first two f and g, and the next two g-bar and its conjugate. What a rank sends forward is sent before
autograd hears of it, because a simulated rank cannot wait inside of autograd; backward, see
:mod:`labkit.training.in_pass`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.autograd.function import once_differentiable

from labkit.training.tensor_parallel.shards import Rows


class _Replaced(torch.autograd.Function):
    """``result`` in the place of ``values``; ``pull`` makes the gradient of ``values`` from that of the result."""

    @staticmethod
    def forward(ctx, values, result, pull):
        ctx.pull = pull
        return result.view_as(result)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return ctx.pull(gradient), None, None


def replaced(values: torch.Tensor, result: torch.Tensor, pull: Callable) -> torch.Tensor:
    """The result, with a gradient for the values."""
    return _Replaced.apply(values, result, pull)


def copy_to_ranks(values: torch.Tensor, group, key: int) -> torch.Tensor:
    """Values that every rank uses with its own part of a matrix."""
    if group.size == 1:
        return values
    return replaced(values, values.detach(), lambda g: group.all_reduce(g, key, is_backward=True))


def sum_over_ranks(values: torch.Tensor, group, key: int) -> torch.Tensor:
    """The sum of the ranks' values, on all of them."""
    if group.size == 1:
        return values
    return replaced(values, group.all_reduce(values, key), lambda g: g)


def gather_rows(values: torch.Tensor, group, key: int, rows: Rows, *, each_has_a_part: bool = True) -> torch.Tensor:
    """All rows, from each rank's own.

    ``each_has_a_part``: what follows differs between the ranks, so their gradients are parts of a sum. If all ranks do
    the same with the rows, they have the same gradient, and each takes its rows of it.
    """
    if group.size == 1:
        return values
    ends = rows.ends

    def pull(gradient):
        if each_has_a_part:
            return group.reduce_scatter(gradient, ends, key, is_backward=True)
        return gradient[rows.start : rows.stop]

    return replaced(values, group.all_gather(values, ends, key), pull)


def sum_to_rows(values: torch.Tensor, group, key: int, rows: Rows) -> torch.Tensor:
    """This rank's rows of the sum of the ranks' values."""
    if group.size == 1:
        return values
    return replaced(
        values, group.reduce_scatter(values, rows.ends, key),
        lambda g: group.all_gather(g, rows.ends, key, is_backward=True),
    )


def own_rows(values: torch.Tensor, group, key: int, rows: Rows) -> torch.Tensor:
    """This rank's rows of values that all ranks have."""
    if group.size == 1:
        return values
    return replaced(
        values, values.detach()[rows.start : rows.stop],
        lambda g: group.all_gather(g, rows.ends, key, is_backward=True),
    )


def gather_columns(values: torch.Tensor, group, key: int, ends: tuple[int, ...]) -> torch.Tensor:
    """All columns (the last axis), from each rank's own; all ranks do the same with them."""
    if group.size == 1:
        return values
    columns = values.detach().movedim(-1, 0)
    whole = group.all_gather(columns, ends, key).movedim(0, -1).contiguous()
    start, stop = ends[group.rank], ends[group.rank + 1]
    return replaced(values, whole, lambda g: g[..., start:stop])
