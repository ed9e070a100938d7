"""A small transformer: classes for sentences, or the next token at every place."""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn import functional

from labkit.errors import UsageError
from labkit.training.models import slices
from labkit.training.models.initial import initialise

PADDING = 0


@fx.wrap  # a tracer sees one call, not the question within
def positions_of(tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The rows of ``positions`` that belong to tokens (N, length)."""
    first, longest = slices.start(), len(positions)
    length = first + tokens.shape[1]
    if length > longest:
        raise UsageError(
            f"a sample has {length} tokens, but the model was made for {longest}: make it with length={length}."
        )
    return positions[first:length]


@fx.wrap
def attend(layer: int, query, key, value, mask, is_causal: bool) -> torch.Tensor:
    """Scaled dot-product attention, of a slice of the tokens if that is what there is."""
    return slices.attend(layer, query, key, value, mask, is_causal)


class Attention(nn.Module):
    """Multi-head attention of each place to all, or to itself and the places before it."""

    def __init__(self, width: int, num_heads: int, *, causal: bool):
        super().__init__()
        self.num_heads, self.causal = num_heads, causal
        # A bias of the keys adds the same to all scores of a query, which softmax does not see: its gradient would be
        # 0.
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        n, length, width = values.shape
        heads = (n, length, self.num_heads, width // self.num_heads)
        query, key, value = (layer(values).view(heads).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = attend(id(self), query, key, value, mask, self.causal)
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Attention, then two products with GELU between them; each added to what came in."""

    def __init__(self, width: int, num_heads: int, *, causal: bool):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, num_heads, causal=causal)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        values = values + self.attention(self.norm_1(values), mask)
        return values + self.narrow(functional.gelu(self.widen(self.norm_2(values))))


class Transformer(nn.Module):
    """A transformer with learned positions and normalisation first.

    Parameters
    ----------
    num_tokens : int
        Different tokens; 0 is padding, of a classifier.
    length : int
        The most tokens of a sample.
    num_classes : int or None
        None: a language model, which gives logits of all tokens at every place and uses the embedding as last matrix
        too (a *tied* parameter, shared by two layers).
    width, num_heads, num_blocks : int
        ``num_heads`` divides ``width``.
    seed : int

    Examples
    --------
    >>> tokens = torch.zeros(5, 7, dtype=torch.long)
    >>> Transformer(20, 8, 2, width=16)(tokens).shape, Transformer(20, 8, None, width=16)(tokens).shape
    (torch.Size([5, 2]), torch.Size([5, 7, 20]))
    """

    def __init__(
        self, num_tokens: int, length: int, num_classes: int | None, *, width: int = 64, num_heads: int = 4,
        num_blocks: int = 2, seed: int = 0,
    ):
        super().__init__()
        if width % num_heads:
            raise UsageError(
                f"Transformer: width {width} must be a multiple of num_heads {num_heads}: pass such numbers."
            )
        self.length, self.num_classes = length, num_classes
        self.embed = nn.Embedding(num_tokens, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width, num_heads, causal=num_classes is None) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(width)
        self.classify = None if num_classes is None else nn.Linear(width, num_classes)
        initialise(self, seed)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        is_word = mask = None
        if self.num_classes is not None:
            is_word = tokens != PADDING
            is_word = is_word | ~is_word.any(1, keepdim=True)  # nothing but padding: look at all of it
            mask = is_word[:, None, None, :]
        values = self.embed(tokens) + positions_of(tokens, self.positions)  # (N, length, width)
        for block in self.blocks:
            values = block(values, mask)
        values = self.norm(values)
        if is_word is None:
            return values @ self.embed.weight.T  # (N, length, tokens)
        weights = is_word.to(values.dtype)[:, :, None]
        return self.classify((values * weights).sum(1) / weights.sum(1))  # the mean over the words: (N, classes)
