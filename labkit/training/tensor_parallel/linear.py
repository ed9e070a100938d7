"""A matrix product whose matrix is divided: by columns, or by rows.

``Y = X A + b`` with A of (inputs, outputs). Divided by **columns**, A = [A_0 | A_1]: each rank computes its columns of Y
from all of X, and needs nothing of the others forward; backward, each has a part of the sum that the gradient of X is.
Divided by **rows**, each rank has some columns of X and the rows of A that belong to them: Y = X_0 A_0 + X_1 A_1 + b, a
sum over the ranks, to which the bias is added once. A column-parallel product makes just the columns that a
row-parallel one needs, and a function of elements, such as GELU, may stand between them: one sum forward and one
backward for the two.

torch keeps the transpose, (outputs, inputs): a column of A is a row of ``weight``.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from labkit.training.models.initial import first_values
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.operations import (
    copy_to_ranks,
    gather_columns,
    gather_rows,
    sum_over_ranks,
    sum_to_rows,
)
from labkit.training.tensor_parallel.shards import Shard, even_ends


def part_of(
    parameter: nn.Parameter | None, shard: Shard | None, rank: int, *, name: str = "", seed: int = 0,
    is_table: bool = False,
) -> nn.Parameter | None:
    """A rank's part of a parameter, in memory of its own; of one on the device "meta", the part of its first values."""
    if parameter is None:
        return None
    whole = parameter.detach()
    if whole.is_meta:
        whole = first_values(name, tuple(whole.shape), seed, is_table=is_table).to(whole.dtype)
    part = whole if shard is None else shard.part(whole, rank)
    return nn.Parameter(part.clone(memory_format=torch.contiguous_format), parameter.requires_grad)


def enter(values: torch.Tensor, group: ParallelGroup, key: int) -> torch.Tensor:
    """The values that a column-parallel product starts from, on all ranks."""
    if group.sequence_parallel:
        return gather_rows(values, group, key, group.rows)
    return copy_to_ranks(values, group, key)


def leave(values: torch.Tensor, group: ParallelGroup, key: int) -> torch.Tensor:
    """The sum of partial products; with sequence parallelism this rank's rows of it."""
    if group.sequence_parallel:
        return sum_to_rows(values.reshape(-1, values.shape[-1]), group, key, group.rows)
    return sum_over_ranks(values, group, key)


class ColumnLinear(nn.Module):
    """A product with a matrix divided by columns: each rank has some outputs.

    Parameters
    ----------
    num_inputs, num_outputs : int
        Of the whole.
    group : ParallelGroup
    bias : bool
    name : str
        Of the layer: its first values depend on it, and messages are named by it.
    seed : int
    ends : tuple of int, optional
        Where the ranks' outputs end; as equal as possible without.
    enters : bool
        The layer itself sees to the gradient of its inputs: an all-reduce backward (with sequence parallelism an
        all-gather forward and a reduce-scatter backward). False: several layers share their inputs, and who calls them
        has done it once for all.
    gathers : bool
        Return the outputs of all ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> x = torch.ones(2, 3)
    >>> def program(comm):
    ...     return ColumnLinear(3, 5, ParallelGroup(comm), gathers=True)(x).detach()
    >>> one, two = simulate(1, program).results[0], simulate(2, program).results[1]
    >>> torch.allclose(one, two)
    True
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, group: ParallelGroup, *, bias: bool = True,
        name: str = "column linear", seed: int = 0, ends: tuple[int, ...] | None = None, enters: bool = True, gathers: bool = False,
    ):
        super().__init__()
        whole = nn.Linear(num_inputs, num_outputs, bias, device="meta")
        self._take(whole, group, name, seed, ends, enters, gathers)

    @classmethod
    def of(
        cls, linear: nn.Linear, group: ParallelGroup, name: str, *, seed: int = 0, ends=None, enters=True, gathers=False
    ) -> ColumnLinear:
        """The rank's part of a whole layer."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._take(linear, group, name, seed, ends, enters, gathers)
        return layer

    def _take(self, linear, group, name, seed, ends, enters, gathers):
        self.in_pass = self.group = group
        self.num_outputs, self.enters, self.gathers = linear.out_features, enters, gathers
        self.ends = ends or even_ends(f"the outputs of {name}", linear.out_features, group.size)
        self.shards = {"weight": Shard(0, self.ends)}
        if linear.bias is not None:
            self.shards["bias"] = Shard(0, self.ends)
        self.weight = part_of(linear.weight, self.shards["weight"], group.rank, name=f"{name}.weight", seed=seed)
        bias = part_of(linear.bias, self.shards.get("bias"), group.rank, name=f"{name}.bias", seed=seed)
        self.register_parameter("bias", bias)
        self.key = group.add(name)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.enters:
            values = enter(values, self.group, self.key)
        outputs = functional.linear(values, self.weight, self.bias)
        return gather_columns(outputs, self.group, self.key, self.ends) if self.gathers else outputs

    def extra_repr(self) -> str:
        start, stop = self.ends[self.group.rank], self.ends[self.group.rank + 1]
        return f"outputs {start} to {stop - 1} of {self.num_outputs}"


class RowLinear(nn.Module):
    """A product with a matrix divided by rows: each rank has some inputs, and the sum over the ranks is the output.

    Parameters
    ----------
    num_inputs, num_outputs : int
        Of the whole.
    group : ParallelGroup
    bias, name, seed
        As of :class:`ColumnLinear`. All ranks have the whole bias, and add it after the sum.
    ends : tuple of int, optional
        Where the ranks' inputs end: those of the layer before.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> x = torch.ones(2, 5)
    >>> def program(comm):
    ...     layer = RowLinear(5, 3, ParallelGroup(comm))
    ...     return layer(x[:, layer.ends[comm.rank] : layer.ends[comm.rank + 1]]).detach()
    >>> torch.allclose(simulate(1, program).results[0], simulate(3, program).results[1])
    True
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, group: ParallelGroup, *, bias: bool = True, name: str = "row linear",
        seed: int = 0, ends: tuple[int, ...] | None = None,
    ):
        super().__init__()
        self._take(nn.Linear(num_inputs, num_outputs, bias, device="meta"), group, name, seed, ends)

    @classmethod
    def of(cls, linear: nn.Linear, group: ParallelGroup, name: str, *, seed: int = 0, ends=None) -> RowLinear:
        """The rank's part of a whole layer."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._take(linear, group, name, seed, ends)
        return layer

    def _take(self, linear, group, name, seed, ends):
        self.in_pass = self.group = group
        self.num_inputs = linear.in_features
        self.ends = ends or even_ends(f"the inputs of {name}", linear.in_features, group.size)
        self.shards = {"weight": Shard(1, self.ends)}
        self.weight = part_of(linear.weight, self.shards["weight"], group.rank, name=f"{name}.weight", seed=seed)
        self.register_parameter("bias", part_of(linear.bias, None, group.rank, name=f"{name}.bias", seed=seed))
        self.partial = ("bias",) if group.sequence_parallel else ()  # the bias meets this rank's rows only
        self.key = group.add(name)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        total = leave(functional.linear(values, self.weight), self.group, self.key)
        return total if self.bias is None else total + self.bias.to(total.dtype)

    def extra_repr(self) -> str:
        start, stop = self.ends[self.group.rank], self.ends[self.group.rank + 1]
        return f"inputs {start} to {stop - 1} of {self.num_inputs}"
