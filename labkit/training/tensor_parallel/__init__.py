"""Tensor parallelism: every rank has a part of every matrix, and all ranks work on the same samples.

================  ============================================================================================
file              what it has
================  ============================================================================================
shards.py         which part a rank has; parts put together and cut again
group.py          the ranks that share a model; their collectives, counted
operations.py     functions with one communication forward and its counterpart backward
linear.py         products divided by columns and by rows
blocks.py         attention by heads, the two products, norms and dropout
embedding.py      the table of tokens, divided; also as last matrix
loss.py           cross-entropy without gathering logits
transformer.py    ``tensor_parallel(model, comm)``: a rank's part of a model
passes.py         backward, and what is left to do after it
strategy.py       ``train(comm, model, data, strategy="tensor_parallel")``
traffic.py        bytes a block sends, by scheme
counted_block.py  a block that was run, and its calls
bugs.py           known slips, which the comparison with one process must find
================  ============================================================================================

References
----------
M. Shoeybi et al., Megatron-LM, 2019 (arXiv 1909.08053); V. Korthikanti et al., Reducing activation recomputation in
large transformer models, 2022 (arXiv 2205.05198), for sequence parallelism.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "ColumnLinear": "linear", "RowLinear": "linear", "ParallelMLP": "blocks", "ParallelAttention": "blocks",
    "VocabularyEmbedding": "embedding", "VocabularyLoss": "loss", "ParallelGroup": "group",
    "ParallelTransformer": "transformer", "tensor_parallel": "transformer", "whole_state": "shards",
    "load_whole": "shards", "whole_gradients": "shards", "backward": "passes", "finish_gradients": "passes",
    "TensorParallel": "strategy", "train_tensor_parallel": "strategy",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
