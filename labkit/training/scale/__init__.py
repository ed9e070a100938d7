"""Training at a scale that nobody has at home: simulated steps on up to 4096 GPUs, from profiles and cost formulas.

================  =======================================================================================
file              what it has
================  =======================================================================================
layers.py         parameters and multiplications of layers, counted from shapes
architectures.py  ResNet, VGG-16, Inception V3
profile.py        a step on one GPU: published throughput, or measured on a module
step.py           a step on many: buckets, overlap, all-reduces by their cost formulas; ``scaling()``
curves.py         efficiency over the number of GPUs, one curve a choice
horovod.py        90, 90 and 68 % at 512 GPUs with two fitted constants, and what they are worth
zero_table.py     memory of ZeRO's stages by formula
bsp.py            synchronous steps with noise: ``t0 + mu * H_P``
================  =======================================================================================
"""

import importlib

_NAMES = {
    "find_architecture": "architectures", "published_profile": "profile", "measured_profile": "profile",
    "step_time": "step", "scaling": "step", "scaling_curve": "curves", "fit_constants": "horovod",
    "leave_one_out": "horovod", "zero_memory": "zero_table", "zero_table": "zero_table", "simulate_bsp": "bsp",
}
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
