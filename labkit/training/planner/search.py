"""All plans for a model on a machine: which fit, how long they take, what they cost, and why the others do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from labkit.errors import UsageError
from labkit.training.mesh import Mesh, all_meshes
from labkit.training.planner.devices import Machine
from labkit.training.planner.memory import memory_forecast, peak_bytes
from labkit.training.planner.plan import CHECKPOINTINGS, TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.planner.step import SECONDS_PER_HOUR, StepForecast, step_forecast

USABLE = 0.92  # of a device's memory: the rest is the library's, communication buffers, fragments
MAX_MICRO_BATCH = 64
GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan and its forecast.

    Attributes
    ----------
    plan : TrainingPlan
    machine : Machine
    memory_bytes : float
        Of the fullest device.
    step : StepForecast
    """

    plan: TrainingPlan
    machine: Machine
    memory_bytes: float
    step: StepForecast

    def days(self, num_steps: float) -> float:
        """Of so many steps."""
        return num_steps * self.step.step_s / SECONDS_PER_HOUR / 24

    def price(self, num_steps: float) -> float:
        """USD of so many steps."""
        return num_steps * self.step.price


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has found.

    Attributes
    ----------
    candidates : tuple of Candidate
        That fit; the shortest step first, the cheaper one of equals.
    num_too_large : int
        Plans that need more memory than there is.
    reasons : dict of str to int
        Why other plans cannot be, and how many.
    closest : tuple
        (Plan, bytes of its fullest device): the one that needs least, where nothing fits.
    """

    candidates: tuple[Candidate, ...]
    num_too_large: int
    reasons: dict[str, int]
    closest: tuple[TrainingPlan, float] | None

    @property
    def best(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    def front(self) -> tuple[Candidate, ...]:
        """Those that no other beats in both time and price, the fastest first."""
        found: list[Candidate] = []
        for candidate in self.candidates:
            if not found or candidate.step.price < found[-1].step.price:
                found.append(candidate)
        return tuple(found)


def search(
    size: TransformerSize, machine: Machine, batch_size: int, *, nums_nodes: Sequence[int] | None = None,
    schedules: Sequence[str] = ("1f1b", "interleaved", "zb-h1", "zb-h2"), precision: str = "mixed",
    checkpointings: Sequence[str] = CHECKPOINTINGS, sequence_parallel: bool = True, nums_chunks: Sequence[int] = (2, 4),
) -> SearchResult:
    """Forecast every plan of a batch on a machine.

    Tensor parallelism stays inside a node. Of ZeRO's stages the lowest that fits is taken: it costs nothing up to the
    second, and a pipeline takes the first at most.

    Parameters
    ----------
    size : TransformerSize
    machine : Machine
    batch_size : int
        Samples of a step: a plan must not change it, for the training would be another.
    nums_nodes : sequence of int, optional
        Machines of these numbers of nodes; by default of the given one's.
    schedules, checkpointings, nums_chunks : sequence
        What to try.
    precision : str
    sequence_parallel : bool
        Wherever there is tensor parallelism.

    Returns
    -------
    SearchResult

    Raises
    ------
    UsageError
        A device that is too small for a single block, however it is split.

    Examples
    --------
    >>> from labkit.training.planner.devices import find_device
    >>> machine = Machine(find_device("A100-80GB"), num_nodes=4)
    >>> found = search(TransformerSize(36, 4096, 32), machine, 512)
    >>> found.best.memory_bytes < 80 * 2**30
    True
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r} must be a whole number of at least 1.")
    check_one_block(size, machine, precision)
    reasons: Counter[str] = Counter()
    candidates, num_too_large, closest = [], 0, None
    for num_nodes in nums_nodes or (machine.num_nodes,):
        here = replace(machine, num_nodes=num_nodes)
        for plan in _plans(size, here, batch_size, schedules, precision, checkpointings, sequence_parallel, nums_chunks):
            reason = plan.reason_against(size)
            if reason:
                reasons[reason] += 1
                continue
            plan, memory = lowest_zero_stage(size, plan, here)
            if memory > usable_bytes(here):
                num_too_large += 1
                closest = (plan, memory) if closest is None or memory < closest[1] else closest
                continue
            candidates.append(Candidate(plan, here, memory, step_forecast(size, plan, here)))
    candidates.sort(key=lambda c: (c.step.step_s, c.step.price, c.memory_bytes))
    return SearchResult(tuple(candidates), num_too_large, dict(reasons), None if candidates else closest)


def usable_bytes(machine: Machine) -> float:
    """Of a device, for what is forecast."""
    return USABLE * machine.device.memory_bytes


def lowest_zero_stage(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> tuple[TrainingPlan, float]:
    """(The plan with the lowest ZeRO stage that fits, or else the highest; bytes of its fullest device.)"""
    stages = (0,) if plan.mesh.dp == 1 else (0, 1) if plan.mesh.pp > 1 else (0, 1, 2, 3)
    for stage in stages:
        tried = plan.with_(zero_stage=stage)
        memory = peak_bytes(size, tried)
        if memory <= usable_bytes(machine):
            break
    return tried, memory


def why_not(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> str:
    """A sentence: why a plan does not fit, and what takes most; empty if it fits.

    Examples
    --------
    >>> from labkit.training.planner.devices import find_device
    >>> machine = Machine(find_device("A100-40GB"), num_nodes=1)
    >>> why_not(TransformerSize(36, 4096, 32), TrainingPlan(Mesh(dp=8), batch_size=8), machine)
    'stage 0 needs 154.4 GB and a device has 39.5 GB of 42.9 GB to give: optimizer 89.6 GB, activations 34.9 GB, \
parameters 14.9 GB, gradients 14.9 GB.'
    """
    fullest = max(memory_forecast(size, plan), key=lambda stage: stage.total_bytes)
    if fullest.total_bytes <= usable_bytes(machine):
        return ""
    kinds = sorted(fullest.by_kind().items(), key=lambda item: -item[1])
    return (
        f"stage {fullest.stage} needs {_gigabytes(fullest.total_bytes)} and a device has "
        f"{_gigabytes(usable_bytes(machine))} of {_gigabytes(machine.device.memory_bytes)} to give: "
        + ", ".join(f"{kind} {_gigabytes(num_bytes)}" for kind, num_bytes in kinds) + "."
    )


def check_one_block(size: TransformerSize, machine: Machine, precision: str = "mixed") -> None:
    """Raise if a device cannot hold one block, split over a whole node with everything that saves memory."""
    parts = max(tp for tp in range(1, machine.devices_per_node + 1) if size.num_heads % tp == 0)
    plan = TrainingPlan(Mesh(tp=parts), 1, precision=precision, checkpointing="full", sequence_parallel=True)
    one = TransformerSize(1, size.width, size.num_heads, 1, size.length)
    needed = peak_bytes(one, plan)
    if needed > usable_bytes(machine):
        raise UsageError(
            f"a device too small for one layer: one block of width {size.width} needs {_gigabytes(needed)} even in {parts} "
            f"parts with full checkpointing and one sample, and {machine.device.name} has "
            f"{_gigabytes(usable_bytes(machine))} to give. Take a device with more memory, a shorter sample or a narrower model."
        )


def _plans(size, machine, batch_size, schedules, precision, checkpointings, sequence_parallel, nums_chunks):
    """Everything worth a forecast: with one stage all schedules are the same."""
    limits = {"tp": machine.devices_per_node, "pp": size.num_blocks, "dp": batch_size}
    for mesh in all_meshes(machine.num_devices, limits=limits):
        ways = [("1f1b", 1)] if mesh.pp == 1 else [
            (schedule, chunks) for schedule in schedules
            for chunks in (nums_chunks if schedule == "interleaved" else (1,))
        ]
        for micro_batch_size in _micro_batches(max(1, batch_size // mesh.dp)):
            for schedule, chunks in ways:
                for checkpointing in checkpointings:
                    yield TrainingPlan(
                        mesh, batch_size, micro_batch_size, schedule, chunks, precision=precision,
                        checkpointing=checkpointing, sequence_parallel=sequence_parallel and mesh.tp > 1,
                    )


def _micro_batches(most: int) -> list[int]:
    return [1 << k for k in range(min(most, MAX_MICRO_BATCH).bit_length())]


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / GIGABYTE:.1f} GB"
