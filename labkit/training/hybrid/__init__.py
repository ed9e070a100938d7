"""Replicas, stages and parts of layers at once, on a mesh of ranks.

================  =========================================================================================
file              what it has
================  =========================================================================================
strategy.py       ``train(comm, model, data, strategy="hybrid", mesh=Mesh(2, 2, 2))``; ``train_hybrid()``
state.py          what the ranks hold, put together
stages.py         a model that is divided already, cut into stages
bugs.py           known slips, which the comparison with one process must find
executor.py       a pipeline whose stages talk to each other and, inside a layer, to their other parts
================  =========================================================================================

Which rank stands where is :mod:`labkit.training.mesh`.
"""

import importlib

_NAMES = {"Hybrid": "strategy", "train_hybrid": "strategy", "cut_divided": "stages"}
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
