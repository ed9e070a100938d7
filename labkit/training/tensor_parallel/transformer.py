"""The whole transformer, divided; and the networks of products."""

from __future__ import annotations

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.models.dropout import Dropout
from labkit.training.models.mlp import MLP
from labkit.training.models.transformer import PADDING, Transformer
from labkit.training.tensor_parallel.blocks import ParallelBlock, drop, norm_of
from labkit.training.tensor_parallel.embedding import VocabularyEmbedding
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.linear import ColumnLinear, RowLinear, part_of
from labkit.training.tensor_parallel.operations import gather_rows
from labkit.training.tensor_parallel.shards import Rows


class ParallelTransformer(nn.Module):
    """A rank's part of a :class:`labkit.training.models.transformer.Transformer`, with the same names of parameters.

    All ranks give it the same tokens. A classifier's classes come out on every rank. A language model gives, in
    training, the logits of the rank's own tokens, which :class:`.loss.VocabularyLoss` takes; in ``eval``, or with
    ``gathers_logits``, those of all tokens.

    Parameters
    ----------
    model : Transformer
        The whole; it may be on the device "meta", then the ranks make their parts from the parameters' names and the
        model's seed.
    group : ParallelGroup
    """

    def __init__(self, model: Transformer, group: ParallelGroup):
        super().__init__()
        self.in_pass = self.group = group
        self.length, self.num_classes, self.seed = model.length, model.num_classes, model.seed
        self.num_tokens, self.gathers_logits = model.embed.num_embeddings, False
        seed = model.seed
        self.embed = VocabularyEmbedding.of(model.embed, group, "embed", seed=seed)
        self.positions = part_of(model.positions, None, group.rank, name="positions", seed=seed)
        self.partial = ("positions",) if group.sequence_parallel else ()
        self.dropout: Dropout | None = model.dropout
        self.blocks = nn.ModuleList(
            ParallelBlock(block, group, f"blocks.{number}", seed=seed) for number, block in enumerate(model.blocks)
        )
        self.norm = norm_of(model.norm, group, "norm", seed=seed)
        self.classify = None
        if model.classify is not None:
            self.classify = nn.Linear(model.classify.in_features, model.num_classes, device="meta")
            for part in ("weight", "bias"):
                whole = getattr(model.classify, part)
                setattr(self.classify, part, part_of(whole, None, group.rank, name=f"classify.{part}", seed=seed))
        self.key = group.add("classify")
        self.train(model.training)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        n, length = tokens.shape
        group = self.group
        if length > self.length:
            raise UsageError(
                f"a sample has {length} tokens, but the model was made for {self.length}: make it with length={length}."
            )
        is_word = mask = None
        if self.num_classes is not None:
            is_word = tokens != PADDING
            is_word = is_word | ~is_word.any(1, keepdim=True)
            mask = is_word[:, None, None, :]
        rows = group.rows = Rows.of(n, length, group.size, group.rank)
        values, positions = self.embed(tokens), self.positions[:length]
        if group.sequence_parallel:
            positions = positions.repeat(n, 1)[rows.start : rows.stop]
        values = drop(self.dropout, values + positions, group)
        for block in self.blocks:
            values = block(values, mask)
        values = self.norm(values)
        if is_word is None:
            logits = self.embed.logits(values).view(n, length, self.embed.stop - self.embed.start)
            return self.embed.gather(logits) if self.gathers_logits or not self.training else logits
        if group.sequence_parallel:
            values = gather_rows(values, group, self.key, rows, each_has_a_part=False)
            values = values.view(n, length, values.shape[-1])
        weights = is_word.to(values.dtype)[:, :, None]
        return self.classify((values * weights).sum(1) / weights.sum(1))


class ParallelLayers(nn.Module):
    """A rank's part of a :class:`labkit.training.models.mlp.MLP`: products in pairs, divided by columns and by rows.

    The last product of an odd number is computed by every rank. Sequence parallelism changes nothing here: there is
    nothing between the pairs but ReLU.
    """

    def __init__(self, model: MLP, group: ParallelGroup):
        super().__init__()
        if group.sequence_parallel:
            raise UsageError(
                "sequence_parallel divides the tokens between the blocks of a transformer, and an MLP has none: leave "
                "it out."
            )
        self.in_pass = self.group = group
        self.layers = nn.ModuleList()
        for number, layer in enumerate(model.layers):
            name = f"layers.{number}"
            if number % 2:
                made = RowLinear.of(layer, group, name, ends=self.layers[-1].ends)
            elif number == len(model.layers) - 1:
                made = nn.Linear(layer.in_features, layer.out_features, device="meta")
                made.weight, made.bias = (part_of(p, None, group.rank, name=name) for p in (layer.weight, layer.bias))
            else:
                made = ColumnLinear.of(layer, group, name)
            self.layers.append(made)
        self.train(model.training)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = inputs.flatten(1)
        for layer in self.layers[:-1]:
            values = torch.relu(layer(values))
        return self.layers[-1](values)


def tensor_parallel(
    model: nn.Module, comm, *, sequence_parallel: bool = False, allreduce: str = "library"
) -> nn.Module:
    """This rank's part of a model that is equal on all ranks.

    Parameters
    ----------
    model : Transformer or MLP
        Of :mod:`labkit.training.models`. It is not changed; one made under ``torch.device("meta")`` takes no memory.
    comm : communicator or ParallelGroup
    sequence_parallel : bool
        Norms, dropout and what is kept for them are divided by rows of tokens: reduce-scatter and all-gather in the
        place of each all-reduce, with as many bytes.
    allreduce : str
        See :class:`.group.ParallelGroup`.

    Returns
    -------
    torch.nn.Module
        With the same names of parameters; :func:`.shards.whole_state` puts the ``state_dict`` together again, and
        :func:`.shards.load_whole` takes one apart.

    Raises
    ------
    UsageError
        Another kind of model; heads that cannot be shared out; fewer tokens or hidden values than ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> tokens = torch.tensor([[1, 2, 3]])
    >>> def program(comm):
    ...     model = tensor_parallel(Transformer(20, 8, 2, width=16), comm)
    ...     return model(tokens).detach()
    >>> torch.allclose(simulate(2, program).results[0], Transformer(20, 8, 2, width=16)(tokens), atol=1e-6)
    True
    """
    group = comm
    if not isinstance(comm, ParallelGroup):
        group = ParallelGroup(comm, sequence_parallel=sequence_parallel, allreduce=allreduce)
    kinds = {Transformer: ParallelTransformer, MLP: ParallelLayers}
    if type(model) not in kinds:
        raise UsageError(
            f"tensor_parallel divides the models {', '.join(kind.__name__ for kind in kinds)} of "
            f"labkit.training.models, not {type(model).__name__}. Build other models from ColumnLinear, RowLinear and "
            "VocabularyEmbedding."
        )
    made = kinds[type(model)](model, group)
    assert [name for name, _ in made.named_parameters()] == [name for name, _ in model.named_parameters()]
    return made
