"""A causal transformer that is given a sequence in slices of tokens, one after the other.

A token looks at those before it and at none after it. So a slice can be computed before the next one, if attention
keeps the keys and values of earlier slices (``labkit.training.pipeline.sliced``). Outside of :func:`at` a sequence is
whole and nothing is kept.
"""

from __future__ import annotations

import contextlib

import torch
from torch.nn import functional


class TokenSlice:
    """One slice, and what attention layers need of those before it.

    Attributes
    ----------
    start : int
        Place of its first token in the sequence.
    earlier : dict of int to list of (torch.Tensor, torch.Tensor)
        By layer: keys and values of each earlier slice, (N, heads, tokens, width).
    made : dict of int to (torch.Tensor, torch.Tensor)
        By layer: those of this slice, filled by the forward pass.
    """

    def __init__(self, start: int, earlier: dict):
        self.start, self.earlier, self.made = start, earlier, {}


_now: TokenSlice | None = None


@contextlib.contextmanager
def at(part: TokenSlice | None):
    """Forward inside of it is that of one slice."""
    global _now
    before, _now = _now, part
    try:
        yield
    finally:
        _now = before


def start() -> int:
    """The place of the first token."""
    return 0 if _now is None else _now.start


def attend(layer: int, query, key, value, mask, is_causal: bool) -> torch.Tensor:
    """Attention of queries (N, heads, tokens, width) to the keys of their slice and of those before it."""
    if _now is None or not is_causal:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal)
    _now.made[layer] = key, value
    earlier = _now.earlier.get(layer, [])
    if not earlier:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    key = torch.cat([*(k for k, _ in earlier), key], dim=2)
    value = torch.cat([*(v for _, v in earlier), value], dim=2)
    num_queries, num_keys = query.shape[2], key.shape[2]
    sees = torch.ones(num_queries, num_keys, dtype=torch.bool, device=query.device).tril(num_keys - num_queries)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=sees)
