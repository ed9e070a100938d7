"""What to try first when a model does not fit: one change after the other, the cheapest first.

Mixed precision and a smaller micro-batch change nothing in how ranks work together. Checkpointing costs computing, ZeRO
some traffic. Only then is the model split: inside a node by tensor parallelism, where links are fast, and between nodes
by a pipeline, as short as it can be, with at least as many micro-batches as stages.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.training.mesh import Mesh
from labkit.training.planner.devices import Machine
from labkit.training.planner.memory import peak_bytes
from labkit.training.planner.plan import TrainingPlan
from labkit.training.planner.search import check_one_block, usable_bytes, why_not
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import StepForecast, step_forecast


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing tried.

    Attributes
    ----------
    what : str
        In words.
    plan : TrainingPlan
    memory_bytes : float or None
        Of the fullest device; None where the plan cannot be.
    step : StepForecast or None
        Where it fits.
    reason : str
        Why it does not fit; empty if it does.
    """

    what: str
    plan: TrainingPlan
    memory_bytes: float | None
    step: StepForecast | None
    reason: str

    @property
    def fits(self) -> bool:
        return not self.reason


def what_to_try(
    size: TransformerSize, machine: Machine, batch_size: int, *, all_of_them: bool = False
) -> list[Attempt]:
    """Try one change after the other until the model fits.

    Parameters
    ----------
    size : TransformerSize
    machine : Machine
    batch_size : int
        Samples of a step.
    all_of_them : bool
        Go on after the first that fits.

    Returns
    -------
    list of Attempt
        The last one fits, if anything does.

    Raises
    ------
    UsageError
        A device that is too small for one block.

    Examples
    --------
    >>> from labkit.training.planner.devices import find_device
    >>> machine = Machine(find_device("A100-80GB"), num_nodes=2)
    >>> for attempt in what_to_try(TransformerSize(24, 2304, 24), machine, 64):
    ...     print(attempt.fits, attempt.what)
    False data parallel in 32 bits, all samples of a device at once
    False mixed precision
    True micro-batches of 2 instead of 4, gradients added up
    """
    check_one_block(size, machine)
    attempts = []
    for what, plan in _ladder(size, machine, batch_size):
        attempts.append(_try(what, size, plan, machine))
        if attempts[-1].fits and not all_of_them:
            break
    return attempts


def _try(what: str, size: TransformerSize, plan: TrainingPlan, machine: Machine) -> Attempt:
    reason = plan.reason_against(size)
    if reason:
        return Attempt(what, plan, None, None, f"{reason}.")
    memory = peak_bytes(size, plan)
    if memory > usable_bytes(machine):
        return Attempt(what, plan, memory, None, why_not(size, plan, machine))
    return Attempt(what, plan, memory, step_forecast(size, plan, machine), "")


def _ladder(size: TransformerSize, machine: Machine, batch_size: int):
    """(What, plan) in the order to try them."""
    num, node = machine.num_devices, machine.devices_per_node
    samples = max(1, batch_size // num)
    plan = TrainingPlan(Mesh(dp=num), batch_size, samples, precision="fp32")
    yield "data parallel in 32 bits, all samples of a device at once", plan
    plan = plan.with_(precision="mixed")
    yield "mixed precision", plan
    while plan.micro_batch_size > 1:
        half = plan.micro_batch_size // 2
        while samples % half:
            half -= 1
        what = f"micro-batches of {half} instead of {plan.micro_batch_size}, gradients added up"
        plan = plan.with_(micro_batch_size=half)
        yield what, plan
    plan = plan.with_(checkpointing="selective")
    yield "the scores of attention computed again", plan
    plan = plan.with_(checkpointing="full")
    yield "full checkpointing: the inputs of blocks alone are kept", plan
    for stage, what in ((1, "optimizer state"), (2, "gradients"), (3, "parameters")):
        yield f"ZeRO stage {stage}: each rank its part of the {what}", plan.with_(zero_stage=stage)
    plan = plan.with_(zero_stage=1, sequence_parallel=True, checkpointing="selective")
    parts = [tp for tp in range(2, node + 1) if node % tp == 0 and size.num_heads % tp == 0]
    for tp in parts:
        plan = plan.with_(mesh=Mesh(dp=num // tp, tp=tp))
        yield f"tensor parallel on {tp} inside a node, with ZeRO stage 1", plan
    tp = parts[-1] if parts else 1
    for pp in range(2, min(size.num_blocks, num // tp) + 1):
        if num % (tp * pp) == 0:
            for checkpointing in ("selective", "full"):
                mesh = Mesh(dp=num // tp // pp, pp=pp, tp=tp)
                words = ", with full checkpointing" if checkpointing == "full" else ""
                yield f"a pipeline of {pp} stages between the nodes{words}", plan.with_(
                    mesh=mesh, checkpointing=checkpointing
                )
