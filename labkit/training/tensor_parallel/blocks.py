"""Attention and the two products of a transformer's block, divided; norms and dropout on a rank's rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from labkit.training.models.dropout import Dropout
from labkit.training.models.transformer import Attention, Block, attend
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.linear import ColumnLinear, RowLinear, enter, part_of
from labkit.training.tensor_parallel.shards import head_ends


class ParallelMLP(nn.Module):
    """Two products with a function of elements between them: one all-reduce forward, one backward.

    Parameters
    ----------
    width, hidden : int
        ``width -> hidden -> width``.
    group : ParallelGroup
    activation : callable
    bias : bool
    name, seed
        Of the first values.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> def program(comm):
    ...     mlp = ParallelMLP(4, 10, ParallelGroup(comm))
    ...     return mlp(torch.ones(2, 4)).detach(), [call.kind for call in mlp.group.calls]
    >>> simulate(3, program).results[0][1]
    ['all-reduce']
    """

    def __init__(
        self, width: int, hidden: int, group: ParallelGroup, *, activation: Callable = functional.gelu,
        bias: bool = True, name: str = "mlp", seed: int = 0,
    ):
        super().__init__()
        self.group, self.activation = group, activation
        self.widen = ColumnLinear(width, hidden, group, bias=bias, name=f"{name}.widen", seed=seed)
        self.narrow = RowLinear(
            hidden, width, group, bias=bias, name=f"{name}.narrow", seed=seed, ends=self.widen.ends
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.activation(self.widen(values)))


class ParallelAttention(nn.Module):
    """Attention whose heads are shared out: queries, keys and values by columns, the product after them by rows.

    Parameters
    ----------
    attention : labkit.training.models.transformer.Attention
        The whole.
    group : ParallelGroup
    name : str
    seed : int
        For first values of parameters on the device "meta".

    Raises
    ------
    UsageError
        The heads cannot be shared out.
    """

    def __init__(self, attention: Attention, group: ParallelGroup, name: str, *, seed: int = 0):
        super().__init__()
        self.in_pass = self.group = group
        width = attention.query.in_features
        ends = head_ends(width, attention.num_heads, group.size)
        self.num_heads, self.causal, self.dropout = attention.num_heads, attention.causal, attention.dropout
        self.own_heads, self.head_size = attention.num_heads // group.size, width // attention.num_heads
        parts = {"seed": seed, "ends": ends}
        self.query, self.key, self.value = (
            ColumnLinear.of(getattr(attention, part), group, f"{name}.{part}", enters=False, **parts)
            for part in ("query", "key", "value")
        )
        self.out = RowLinear.of(attention.out, group, f"{name}.out", **parts)
        self.entry = group.add(name)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        whole = enter(values, self.group, self.entry)  # once, for queries, keys and values
        if self.group.sequence_parallel:
            rows = self.group.rows
            whole = whole.view(rows.num_samples, rows.length, whole.shape[-1])
        n, length, _ = whole.shape
        query, key, value = (
            layer(whole).view(n, length, self.own_heads, self.head_size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = attend(
            query, key, value, mask, causal=self.causal, dropout=self.dropout, num_heads=self.num_heads,
            first_head=self.group.rank * self.own_heads,
        )
        return self.out(mixed.transpose(1, 2).reshape(n, length, self.own_heads * self.head_size))


class RowsNorm(nn.LayerNorm):
    """Layer normalisation of a rank's own rows: its parameters get the gradient of these rows only."""

    partial = ("weight", "bias")


class ParallelBlock(Block):
    """A transformer's block: forward reads as that of one process.

    Parameters
    ----------
    block : labkit.training.models.transformer.Block
        The whole.
    group : ParallelGroup
    name : str
    seed : int
    """

    def __init__(self, block: Block, group: ParallelGroup, name: str, *, seed: int = 0):
        nn.Module.__init__(self)
        self.group = group
        self.norm_1 = norm_of(block.norm_1, group, f"{name}.norm_1", seed=seed)
        self.norm_2 = norm_of(block.norm_2, group, f"{name}.norm_2", seed=seed)
        self.attention = ParallelAttention(block.attention, group, f"{name}.attention", seed=seed)
        self.widen = ColumnLinear.of(block.widen, group, f"{name}.widen", seed=seed)
        self.narrow = RowLinear.of(block.narrow, group, f"{name}.narrow", seed=seed, ends=self.widen.ends)
        self.dropout_1, self.dropout_2 = block.dropout_1, block.dropout_2

    def drop(self, dropout: Dropout | None, values: torch.Tensor) -> torch.Tensor:
        return drop(dropout, values, self.group)


def drop(dropout: Dropout | None, values: torch.Tensor, group: ParallelGroup) -> torch.Tensor:
    """Dropout of values that all ranks have, equal on all; or of this rank's rows, as in the whole."""
    if dropout is None:
        return values
    if not group.sequence_parallel:
        return dropout(values)
    rows = group.rows
    return dropout(
        values, shape=(rows.ends[-1], values.shape[-1]), start=rows.start, num_samples=rows.num_samples
    )


def norm_of(norm: nn.LayerNorm, group: ParallelGroup, name: str, *, seed: int = 0) -> nn.LayerNorm:
    """A copy of a norm, on a rank's rows or on all of them."""
    kind = RowsNorm if group.sequence_parallel else nn.LayerNorm
    made = kind(norm.normalized_shape, norm.eps, device="meta")
    made.weight, made.bias = (
        part_of(getattr(norm, part), None, group.rank, name=f"{name}.{part}", seed=seed) for part in ("weight", "bias")
    )
    return made
