"""Plans with slices of tokens (TeraPipe), run on a causal transformer.

Forward of a slice needs the keys and values of the slices before it, which lie on the same rank. Backward runs in the
opposite order: by the time that a slice's turn comes, the later ones have left the gradients of its keys and values.

The loss of a sample is the mean over its places, so a slice's part of it counts by its length.
"""

from __future__ import annotations

import torch

from labkit.errors import UsageError
from labkit.training.models import slices
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.execute import Executor
from labkit.training.pipeline.held import Held


def slice_ends(length: int, num_slices: int, lengths=None) -> tuple[int, ...]:
    """Where the slices of ``length`` tokens end, from 0; about equally long ones without ``lengths``.

    Raises
    ------
    UsageError
        Lengths that do not add up, or fewer tokens than slices.

    Examples
    --------
    >>> slice_ends(10, 3), slice_ends(10, 2, (7, 3))
    ((0, 4, 7, 10), (0, 7, 10))
    """
    if lengths is None:
        if length < num_slices:
            raise UsageError(
                f"{length} tokens cannot be cut into {num_slices} slices of a token or more: take at most {length} "
                "slices."
            )
        lengths = [length // num_slices + (number < length % num_slices) for number in range(num_slices)]
    if len(lengths) != num_slices or min(lengths) < 1 or sum(lengths) != length:
        raise UsageError(
            f"slice_lengths {tuple(lengths)} must be {num_slices} numbers from 1 that add up to the {length} tokens of "
            "a sequence: pass such numbers, or leave them out."
        )
    ends = [0]
    for size in lengths:
        ends.append(ends[-1] + size)
    return tuple(ends)


def check_sliceable(model: torch.nn.Module) -> None:
    """Raise unless the model is a causal transformer that can keep keys and values."""
    layers = [module for module in model.modules() if hasattr(module, "causal")]
    if not layers or not all(layer.causal for layer in layers):
        raise UsageError(
            "a plan with slices of tokens needs a causal transformer, whose attention can keep the keys of earlier "
            f"slices, not a {type(model).__name__}: take make_model('transformer', load_characters()), or a plan "
            "without slices."
        )


class SlicedExecutor(Executor):
    """Runs plans with slices. ``kept[stage, micro-batch]`` has, by slice, leaves of each layer's keys and values."""

    lengths: tuple[int, ...] | None = None

    def run(self, given) -> float:
        self.kept: dict[tuple[int, int], list[dict]] = {}
        self.left: dict[int, torch.Tensor] = {}  # gradients of these leaves, by identity
        return super().run(given)

    def ends(self, length: int) -> tuple[int, ...]:
        return slice_ends(length, self.plan.num_slices, self.lengths)

    def cut_tokens(self, values: torch.Tensor, action: Action) -> torch.Tensor:
        """The part of tokens (N, T) that belongs to an action's slice."""
        ends = self.ends(values.shape[1])
        self.total = values.shape[1]
        return values[:, ends[action.slice] : ends[action.slice + 1]]

    def inputs_of(self, action: Action) -> torch.Tensor:
        return self.cut_tokens(self.given.inputs(action), action)

    def targets_of(self, action: Action) -> torch.Tensor:
        return self.cut_tokens(self.given.targets(action), action)

    def loss_divisor(self, action: Action) -> float:
        ends = self.ends(self.total)
        return super().loss_divisor(action) * self.total / (ends[action.slice + 1] - ends[action.slice])

    def _compute(self, action: Action, held: Held, *, is_again: bool = False) -> list:
        before = self.kept.get(action_key(action), [])[: action.slice]
        earlier: dict[int, list] = {}
        for made in before:
            for layer, pair in made.items():
                earlier.setdefault(layer, []).append(pair)
        length = self.given.length
        held.part = slices.TokenSlice(self.ends(length)[action.slice], earlier)
        with slices.at(held.part):
            values = super()._compute(action, held, is_again=is_again)
        if not is_again:
            leaves = {
                layer: tuple(t.detach().requires_grad_() for t in pair) for layer, pair in held.part.made.items()
            }
            self.kept.setdefault(action_key(action), []).append(leaves)
        return values

    def more_leaves(self, action: Action) -> list[torch.Tensor]:
        before = self.kept[action_key(action)][: action.slice]
        return [leaf for made in before for pair in made.values() for leaf in pair]

    def more_outputs(self, action: Action, held: Held) -> list[tuple[torch.Tensor, torch.Tensor]]:
        own = self.kept[action_key(action)][action.slice]
        return [
            (tensor, self.left.pop(id(leaf)))
            for layer, pair in held.part.made.items()
            for tensor, leaf in zip(pair, own[layer], strict=True) if id(leaf) in self.left
        ]

    def take_more(self, leaves: list[torch.Tensor], found: list) -> None:
        for leaf, gradient in zip(leaves, found, strict=True):
            if gradient is not None:
                before = self.left.get(id(leaf))
                self.left[id(leaf)] = gradient if before is None else before + gradient


def action_key(action: Action) -> tuple[int, int]:
    """Whose slices follow each other."""
    return action.stage, action.microbatch
