"""A catalogue of known slips of tensor parallelism: what each does, and a strategy that makes it.

Each trains without an error message, and most with falling losses.
:func:`labkit.training.data_parallel.equivalence.check_equivalence` finds them all, with a model and options that reach
them (``needs``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from labkit.training.models.dropout import Dropout
from labkit.training.tensor_parallel.blocks import ParallelAttention, ParallelBlock
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.linear import RowLinear, leave
from labkit.training.tensor_parallel.operations import replaced
from labkit.training.tensor_parallel.strategy import TensorParallel
from labkit.training.tensor_parallel.transformer import ParallelLayers, tensor_parallel


@dataclass(frozen=True, slots=True)
class Bug:
    """One slip.

    Attributes
    ----------
    name : str
    summary : str
    strategy : callable
        Makes the wrong strategy.
    needs : str
        ``"dropout"``, ``"three products"``, ``"language model"``, or nothing special.
    """

    name: str
    summary: str
    strategy: Callable
    needs: str = ""


class Wrong(TensorParallel):
    """A strategy whose divided model is changed afterwards, or whose ranks talk in another way."""

    group_class = ParallelGroup

    def divide(self, model: nn.Module, comm) -> nn.Module:
        group = self.group_class(comm, sequence_parallel=self.sequence_parallel, allreduce=self.allreduce_name)
        module = tensor_parallel(model, group)
        for layer in module.modules():
            self.change(layer)
        return module

    def change(self, layer: nn.Module) -> None:
        pass


class _BiasBeforeSum(RowLinear):
    def forward(self, values):
        return leave(functional.linear(values, self.weight, self.bias), self.group, self.key)


class BiasAddedByEveryRank(Wrong):
    """Every rank adds the bias to its partial product, and the sum has it p times."""

    def change(self, layer) -> None:
        if isinstance(layer, RowLinear):
            layer.__class__ = _BiasBeforeSum


class _ActivationBeforeSum(RowLinear):
    def forward(self, values):
        if self.group.size == 1:
            return super().forward(values)
        total = leave(torch.relu(functional.linear(values, self.weight)), self.group, self.key)
        return total if self.bias is None else total + self.bias


class SumAfterActivation(Wrong):
    """The activation is taken of each rank's partial sums, and the all-reduce comes after it."""

    def change(self, layer) -> None:
        if isinstance(layer, ParallelLayers):
            for product in layer.layers[:-1]:
                if isinstance(product, RowLinear):
                    product.__class__ = _ActivationBeforeSum


class ResidualBeforeSum(Wrong):
    """What goes around a block is added to the partial sums, before the all-reduce: it comes out p times."""

    def change(self, layer) -> None:
        if isinstance(layer, ParallelBlock):
            layer.__class__ = _ResidualBlock


class _ResidualBlock(ParallelBlock):
    def forward(self, values, mask):
        values = self._sum(values, self.drop(self.dropout_1, self.attention(self.norm_1(values), mask)))
        return self._sum(values, self.drop(self.dropout_2, self.narrow(functional.gelu(self.widen(self.norm_2(values))))))

    def _sum(self, values, mixed):
        return values + (self.group.size - 1) * values.detach() + mixed  # of (values + partial) over the ranks


class _NoBackwardSum(ParallelGroup):
    def all_reduce(self, tensor, key, *, is_backward=False):
        return tensor.detach().clone() if is_backward else super().all_reduce(tensor, key)


class MissingBackwardSum(Wrong):
    """Nothing is added up backward: what comes before a block learns from the rank's own part of it."""

    group_class = _NoBackwardSum


class _NoSumInAttention(ParallelGroup):
    def all_reduce(self, tensor, key, *, is_backward=False):
        if is_backward and self.names[key].endswith("attention"):
            return tensor.detach().clone()
        return super().all_reduce(tensor, key, is_backward=is_backward)


class MissingSumInAttention(Wrong):
    """The backward all-reduce of attention is forgotten, that of the two products is there."""

    group_class = _NoSumInAttention


class _DoubleBackward(RowLinear):
    def forward(self, values):
        total = super().forward(values)
        group, key = self.group, self.key
        return replaced(total, total.detach(), lambda g: group.all_reduce(g, key, is_backward=True))


class SumAlsoAfterRows(Wrong):
    """An all-reduce backward of the row-parallel product too, whose gradient all ranks have already."""

    def change(self, layer) -> None:
        if isinstance(layer, RowLinear):
            layer.__class__ = _DoubleBackward


class NormGradientsNotSummed(Wrong):
    """With sequence parallelism each rank keeps the gradient of norms from its own rows."""

    def __init__(self):
        super().__init__(sequence_parallel=True)

    def finish_backward(self) -> None:
        pass


class _Reversed(ParallelGroup):
    def all_gather(self, part, ends, key, *, is_backward=False):
        whole = super().all_gather(part, ends, key, is_backward=is_backward)
        if is_backward or self.size == 1:
            return whole
        pieces = [whole[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
        return torch.cat(pieces[::-1])


class WrongOrderOfRows(Wrong):
    """Gathered rows are put together with the last rank first."""

    group_class = _Reversed

    def __init__(self):
        super().__init__(sequence_parallel=True)


class _OwnMask(Dropout):
    rank = 0

    def key(self) -> int:
        return super().key() + self.rank


class DropoutDiffersBetweenRanks(Wrong):
    """Each rank draws its own mask for values that all of them have: they go on with different values."""

    def change(self, layer) -> None:
        if isinstance(layer, ParallelBlock):
            for dropout in (layer.dropout_1, layer.dropout_2):
                if dropout is not None:
                    dropout.__class__, dropout.rank = _OwnMask, layer.group.rank


class _SameMask(ParallelAttention):
    def forward(self, values, mask):
        rank, self.group.rank = self.group.rank, 0
        try:
            return super().forward(values, mask)
        finally:
            self.group.rank = rank


class DropoutEqualInParts(Wrong):
    """Every rank drops the same weights of attention in its own heads: their masks are those of the first heads."""

    def change(self, layer) -> None:
        if isinstance(layer, ParallelAttention):
            layer.__class__ = _SameMask


class _OwnLogitsOnly(ParallelGroup):
    def all_reduce_array(self, sendbuf, recvbuf, op, key):
        recvbuf[...] = sendbuf


class LossOfOwnTokens(Wrong):
    """Each rank takes the softmax of its own tokens, as if there were no others."""

    group_class = _OwnLogitsOnly


BUGS = {
    bug.name: bug
    for bug in (
        Bug("bias_added_by_every_rank", BiasAddedByEveryRank.__doc__, BiasAddedByEveryRank),
        Bug("sum_after_the_activation", SumAfterActivation.__doc__, SumAfterActivation, "three products"),
        Bug("residual_before_the_sum", ResidualBeforeSum.__doc__, ResidualBeforeSum),
        Bug("missing_backward_sum", MissingBackwardSum.__doc__, MissingBackwardSum),
        Bug("missing_sum_in_attention", MissingSumInAttention.__doc__, MissingSumInAttention),
        Bug("sum_also_after_rows", SumAlsoAfterRows.__doc__, SumAlsoAfterRows),
        Bug("norm_gradients_not_summed", NormGradientsNotSummed.__doc__, NormGradientsNotSummed),
        Bug("wrong_order_of_rows", WrongOrderOfRows.__doc__, WrongOrderOfRows),
        Bug("dropout_differs_between_ranks", DropoutDiffersBetweenRanks.__doc__, DropoutDiffersBetweenRanks, "dropout"),
        Bug("dropout_equal_in_parts", DropoutEqualInParts.__doc__, DropoutEqualInParts, "dropout"),
        Bug("loss_of_own_tokens", LossOfOwnTokens.__doc__, LossOfOwnTokens, "language model"),
    )
}
