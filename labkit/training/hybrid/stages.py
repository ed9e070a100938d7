"""A model that tensor parallelism has divided, cut into stages of a pipeline.

Its layers talk to other ranks while they run, so it is not traced: the kinds of models that can be divided are few, and
their stages are written out here. A stage of a transformer passes on its values and the tokens, from which each stage
knows what is padding and which rows are its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.models.transformer import PADDING
from labkit.training.pipeline.stages import CutModel, Stage
from labkit.training.tensor_parallel.blocks import drop
from labkit.training.tensor_parallel.operations import gather_rows
from labkit.training.tensor_parallel.shards import Rows
from labkit.training.tensor_parallel.transformer import ParallelLayers, ParallelTransformer


class TransformerStage(nn.Module):
    """Some blocks of a divided transformer; the first stage has the embedding, the last one the logits.

    Called with tokens (N, length) on the first stage, with (values, tokens) on the others; returns what goes on, and
    the result of the first layer with weights where the input has no gradient.
    """

    def __init__(self, model: ParallelTransformer, start: int, stop: int):
        super().__init__()
        self.group, self.num_classes, self.length = model.group, model.num_classes, model.length
        self.is_first, self.is_last = start == 0, stop == len(model.blocks)
        self.blocks = nn.ModuleList(model.blocks[start:stop])
        object.__setattr__(self, "whole", model)
        if self.is_first:
            self.embed, self.positions, self.dropout = model.embed, model.positions, model.dropout
        if self.is_last:
            self.norm, self.classify, self.key = model.norm, model.classify, model.key
            if self.classify is None:
                self.embed = model.embed

    def forward(self, *inputs):
        tokens = inputs[-1]
        n, length = tokens.shape
        if length > self.length:
            raise UsageError(
                f"a sample has {length} tokens, but the model was made for {self.length}: make it with length={length}."
            )
        group = self.group
        rows = group.rows = Rows.of(n, length, group.size, group.rank)
        is_word = mask = entry = None
        if self.num_classes is not None:
            is_word = tokens != PADDING
            is_word = is_word | ~is_word.any(1, keepdim=True)
            mask = is_word[:, None, None, :]
        if self.is_first:
            entry = self.embed(tokens)
            positions = self.positions[:length]
            if group.sequence_parallel:
                positions = positions.repeat(n, 1)[rows.start : rows.stop]
            values = drop(self.dropout, entry + positions, group)
        else:
            values = inputs[0]
        for block in self.blocks:
            values = block(values, mask)
        return ((self._end(values, is_word, rows, n, length),) if self.is_last else (values, tokens)), entry

    def _end(self, values, is_word, rows, n: int, length: int) -> torch.Tensor:
        """Logits, as the whole model gives them."""
        group, values = self.group, self.norm(values)
        if is_word is None:
            logits = self.embed.logits(values).view(n, length, self.embed.stop - self.embed.start)
            return self.embed.gather(logits) if self.whole.gathers_logits or not self.training else logits
        if group.sequence_parallel:
            values = gather_rows(values, group, self.key, rows, each_has_a_part=False)
            values = values.view(n, length, values.shape[-1])
        weights = is_word.to(values.dtype)[:, :, None]
        return self.classify((values * weights).sum(1) / weights.sum(1))


class LayersStage(nn.Module):
    """Some layers of a divided network of products: whole pairs, of which one is divided by columns and one by rows."""

    def __init__(self, model: ParallelLayers, start: int, stop: int):
        super().__init__()
        self.layers = nn.ModuleList(model.layers[start:stop])
        self.is_first, self.is_last = start == 0, stop == len(model.layers)

    def forward(self, values: torch.Tensor):
        values, entry = (values.flatten(1), None) if self.is_first else (values, None)
        for number, layer in enumerate(self.layers):
            values = layer(values)
            entry = values if self.is_first and number == 0 else entry
            if not (self.is_last and number == len(self.layers) - 1):
                values = torch.relu(values)
        return (values,), entry


def cut_divided(model: nn.Module, names: Sequence[Sequence[str]]) -> CutModel:
    """Cut a divided model.

    Parameters
    ----------
    model : ParallelTransformer or ParallelLayers
    names : sequence of sequence of str
        Modules of each stage, in their order: ``"embed"``, ``"blocks.0"``, ..., ``"norm"``, ``"classify"``; or
        ``"layers.0"``,
        ... .

    Raises
    ------
    UsageError
        Another kind of model, a stage without a block, or a cut between two layers that belong together.
    """
    kind, listed, make = {
        ParallelTransformer: ("block", "blocks", TransformerStage), ParallelLayers: ("layer", "layers", LayersStage),
    }.get(type(model), (None, None, None))
    if kind is None:
        raise UsageError(
            f"a pipeline with tensor parallelism cuts a Transformer or an MLP of labkit.training.models, not "
            f"{type(model).__name__}: take tp 1 for other models."
        )
    num, bounds = len(getattr(model, listed)), [0]
    for number, part in enumerate(names):
        own = [int(name.split(".")[1]) for name in part if name.startswith(f"{listed}.")]
        if own != list(range(bounds[-1], bounds[-1] + len(own))) or not own:
            raise UsageError(
                f"stage {number} of {len(names)} has the {kind}s {own or 'none'}: each stage has a {kind} or more, in "
                f"the order of the model's {num}. Take fewer stages, or give it {listed}.{bounds[-1]}."
            )
        bounds.append(bounds[-1] + len(own))
        if make is LayersStage and bounds[-1] % 2 and bounds[-1] != num:
            raise UsageError(
                f"stage {number} ends between layers.{bounds[-1] - 1} and layers.{bounds[-1]}, which are divided by "
                "columns and by rows and belong together: cut after an even number of layers, or take fewer stages."
            )
    if bounds[-1] != num:
        raise UsageError(f"the stages have {bounds[-1]} of {num} {kind}s: give the others to one of them.")
    name_of = {id(p): name for name, p in model.named_parameters()}
    stages, users = [], {}
    for number, part in enumerate(names):
        module = make(model, bounds[number], bounds[number + 1])
        own = tuple(dict.fromkeys(name_of[id(p)] for p in module.parameters()))
        for name in own:
            users.setdefault(name, []).append(number)
        values = ("values", "tokens") if make is TransformerStage else ("values",)
        stages.append(Stage(
            number, tuple(part), module, module, ("inputs",) if number == 0 else values,
            ("output",) if number == len(names) - 1 else values, own, (),
        ))
    return CutModel(model, tuple(stages), {name: tuple(numbers) for name, numbers in users.items() if len(numbers) > 1})


def divided_stages(model: nn.Module, num_stages: int) -> list[tuple[str, ...]]:
    """Names for :func:`cut_divided`: stages with as many blocks, or pairs of layers, as each other, as far as it goes.

    Raises
    ------
    UsageError
        There are fewer than stages.
    """
    is_transformer = isinstance(model, ParallelTransformer)
    size = 1 if is_transformer else 2
    num = len(model.blocks) if is_transformer else len(model.layers)
    units = [range(k, min(k + size, num)) for k in range(0, num, size)]
    if num_stages > len(units):
        what = "blocks" if is_transformer else "pairs of layers"
        raise UsageError(
            f"a model of {len(units)} {what} cannot be cut into {num_stages} stages, each with one or more: take at "
            f"most {len(units)} stages, or a model with more."
        )
    listed = "blocks" if is_transformer else "layers"
    ends = [round(k * len(units) / num_stages) for k in range(num_stages + 1)]
    names = [
        [f"{listed}.{number}" for unit in units[start:end] for number in unit]
        for start, end in zip(ends[:-1], ends[1:], strict=True)
    ]
    if is_transformer:
        names[0].insert(0, "embed")
        names[-1] += ["norm", *(["classify"] if model.classify is not None else [])]
    return [tuple(part) for part in names]
