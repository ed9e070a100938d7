"""Planning a training run: does it fit, how long does a step take, what does it cost, and what should be tried first.

================  =========================================================================================
file              what it has
================  =========================================================================================
sizes.py          a transformer by its sizes: parameters, operations, a stage's share
devices.py        GPUs and machines, with the sources of their numbers
plan.py           a plan: mesh, micro-batches, schedule, ZeRO stage, precision, checkpointing
memory.py         bytes of a device by kind, stage by stage
step.py           the time of a step: computing, bubble, communication; its cost
bubble.py         what a pipeline waits, by simulation of its schedule or by formula
search.py         all plans for a machine: those that fit by time and cost, and why the others do not
advice.py         what to try first, in the order that costs least
published.py      Megatron-LM's table and training days
latent_space.py   the argument for 16 nodes of 8 GPUs, with its assumptions
================  =========================================================================================

None of these computes with tensors; a plan for 1000 GPUs takes no GPU. The memory of a module, and our own runs:

====================  =====================================================================================
file                  what it has
====================  =====================================================================================
module_memory.py      ``forecast_memory(module, batch, loss, optimizer)``: the peak by kind, nothing allocated
live_storages.py      each allocation and release of a computation on fake tensors
convolution_memory.py what the CPU's convolutions take besides their results
own_runs.py           ``predict_and_measure(model, data, options, OwnPlan(Mesh(dp=2)))``
own_plan.py           mesh and schedule of such a run
own_step.py           the forecast: pure arithmetic with measured costs
own_costs.py          these costs: computing of one process, messages between ranks
on_cores.py           a pipeline's simulation on fewer cores than ranks
pretended.py          a rank without the others
own_program.py        what the ranks run to measure
====================  =====================================================================================
"""

import importlib

_NAMES = {
    "TransformerSize": "sizes", "Device": "devices", "Machine": "devices", "find_device": "devices", "TrainingPlan": "plan",
    "memory_forecast": "memory", "step_forecast": "step", "search": "search", "what_to_try": "advice",
    "latent_space": "latent_space", "forecast_memory": "module_memory", "predict_and_measure": "own_runs",
    "OwnPlan": "own_plan",
}
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
