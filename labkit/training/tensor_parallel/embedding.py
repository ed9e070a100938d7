"""An embedding whose vocabulary is divided: each rank has the rows of some tokens."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from labkit.softmax.vocabulary_parallel import columns_of
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.linear import enter, leave, part_of
from labkit.training.tensor_parallel.operations import gather_columns
from labkit.training.tensor_parallel.shards import Shard, even_ends


class VocabularyEmbedding(nn.Module):
    """Rows of a table, looked up where they are: every token is on one rank, the others give 0, and the sum is the row.

    The same table may be the last matrix of a language model (*tied*): :meth:`logits`. Then it is divided by columns,
    and nothing has to be made equal: each rank has one copy of its rows, with the gradient of both uses.

    Parameters
    ----------
    num_tokens, width : int
        Of the whole; ``num_tokens`` need not be a multiple of the ranks: the first ranks have one more.
    group : ParallelGroup
    name : str
    seed : int

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> tokens = torch.tensor([[0, 3, 4]])
    >>> def program(comm):
    ...     return VocabularyEmbedding(5, 2, ParallelGroup(comm))(tokens).detach()
    >>> torch.equal(simulate(1, program).results[0], simulate(2, program).results[1])
    True
    """

    def __init__(self, num_tokens: int, width: int, group: ParallelGroup, *, name: str = "embed", seed: int = 0):
        super().__init__()
        self._take(nn.Embedding(num_tokens, width, device="meta"), group, name, seed)

    @classmethod
    def of(cls, embedding: nn.Embedding, group: ParallelGroup, name: str, *, seed: int = 0) -> VocabularyEmbedding:
        """The rank's part of a whole layer."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._take(embedding, group, name, seed)
        return layer

    def _take(self, embedding, group, name, seed):
        self.in_pass = self.group = group
        self.num_tokens = embedding.num_embeddings
        self.ends = even_ends("the vocabulary", self.num_tokens, group.size)
        mine = columns_of(self.num_tokens, group.size, group.rank)
        assert (mine.start, mine.stop) == self.ends[group.rank : group.rank + 2]  # as the loss divides it
        self.start, self.stop = mine.start, mine.stop
        self.shards = {"weight": Shard(0, self.ends)}
        self.weight = part_of(
            embedding.weight, self.shards["weight"], group.rank, name=f"{name}.weight", seed=seed, is_table=True
        )
        self.key, self.logits_key = group.add(name), group.add(f"{name} as last matrix")

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Rows (N, length, width); with sequence parallelism this rank's, (rows, width)."""
        if len(tokens.view(-1)) and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.num_tokens:
            raise IndexError(f"a token is out of range: they are 0 to {self.num_tokens - 1}.")
        is_here = (tokens >= self.start) & (tokens < self.stop)
        own = functional.embedding(torch.where(is_here, tokens - self.start, 0), self.weight)
        return leave(own * is_here[..., None].to(own.dtype), self.group, self.key)

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        """The products of values with this rank's rows: the logits of its tokens."""
        return functional.linear(enter(values, self.group, self.logits_key), self.weight)

    def gather(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits of all tokens, on every rank."""
        return gather_columns(logits, self.group, self.logits_key, self.ends)
