"""The time of a step by plan: computing, the pipeline's bubble, communication; and what it costs.

The slowest stage sets the pace. What the pipeline adds, its schedule says, simulated where the plan is small enough
(:mod:`.bubble`). Of the communication, the all-reduces of tensor parallelism are waited for; the all-reduce of gradients
is hidden behind the last micro-batch's backward pass, as far as that lasts.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.training.mesh import Mesh
from labkit.training.planner.bubble import pipeline_time
from labkit.training.planner.devices import Machine
from labkit.training.planner.plan import BYTES, TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.scale.step import allreduce_s
from labkit.training.scale.zero_table import zero_traffic

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class StepForecast:
    """Where the time of a step goes, in s.

    Attributes
    ----------
    forward_s, backward_s, weight_s : float
        One micro-batch on the slowest stage: forward; gradients of what came in (and the second forward of
        checkpointing); gradients of the weights. Each with its waiting for tensor-parallel all-reduces.
    compute_s : float
        All micro-batches on that stage, without communication.
    tensor_s, pipeline_s, data_s : float
        Waiting for the all-reduces inside layers, for messages between stages, for gradients.
    bubble_s : float
        Waiting for the pipeline to fill and empty.
    step_s : float
    operations_per_device : float
        Useful operations a second and device: those of the model, over all devices.
    price : float
        USD of the step, at the machine's price.
    is_simulated : bool
        Whether ``bubble_s`` and ``pipeline_s`` are those of the plan's schedule, simulated; see :mod:`.bubble`.
    """

    forward_s: float
    backward_s: float
    weight_s: float
    compute_s: float
    tensor_s: float
    pipeline_s: float
    data_s: float
    bubble_s: float
    step_s: float
    operations_per_device: float
    price: float
    is_simulated: bool = False

    @property
    def bubble_fraction(self) -> float:
        """Waiting for the pipeline over the whole step."""
        return (self.bubble_s + self.pipeline_s) / self.step_s


def step_forecast(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> StepForecast:
    """Forecast a step.

    Parameters
    ----------
    size : TransformerSize
    plan : TrainingPlan
    machine : Machine
        With at least as many devices as the mesh has ranks.

    Raises
    ------
    UsageError
        The plan cannot train this model, or the machine has another number of devices than the mesh.

    Examples
    --------
    >>> from labkit.training.planner.devices import find_device
    >>> size = TransformerSize(36, 4096, 32)
    >>> machine = Machine(find_device("A100-80GB"), num_nodes=16)
    >>> plan = TrainingPlan(Mesh(dp=32, tp=4), batch_size=512, micro_batch_size=4, checkpointing="full")
    >>> forecast = step_forecast(size, plan, machine)
    >>> 0.5 < forecast.operations_per_device / 142e12 < 1.5  # Megatron-LM measured 142 TFLOP/s
    True
    """
    plan.check(size)
    plan.mesh.check(machine.num_devices)
    mesh, num = plan.mesh, plan.num_microbatches
    rate = machine.device.rate(plan.precision) * mesh.tp
    stages = [_stage_times(size, plan, stage, rate) for stage in range(mesh.pp)]
    tensor_forward, tensor_backward = _tensor_s(size, plan, machine)
    compute = num * sum(max(stages, key=sum))
    tensor = num * (tensor_forward + tensor_backward)
    stages = [(f + tensor_forward, b + tensor_backward, w) for f, b, w in stages]
    forward, backward, weight = max(stages, key=sum)
    message = _message_s(size, plan, machine) if mesh.pp > 1 else 0.0
    waits = pipeline_time(plan, stages, message)
    data = max(0.0, _data_s(size, plan, machine) - (backward + weight))
    step = compute + tensor + waits.bubble_s + waits.message_s + data
    useful = size.step_operations(plan.batch_size, checkpointing=plan.checkpointing == "full")
    return StepForecast(
        forward, backward, weight, compute, tensor, waits.message_s, data, waits.bubble_s, step,
        useful / step / mesh.size, machine.price_per_hour * step / SECONDS_PER_HOUR, waits.is_simulated,
    )


def _stage_times(size: TransformerSize, plan: TrainingPlan, stage: int, rate: float) -> tuple[float, float, float]:
    """Forward, backward of the inputs, backward of the weights, of one micro-batch on one stage."""
    b, h, s = plan.micro_batch_size, size.width, size.length
    blocks = size.blocks_of_stage(stage, plan.mesh.pp)
    products = 24 * b * s * h * h * blocks
    scores = 4 * b * s * s * h * blocks  # no weights: both of its gradients belong to the backward of the inputs
    forward, backward, weight = products + scores, products + 2 * scores, products
    if plan.checkpointing == "full":
        backward += forward
    elif plan.checkpointing == "selective":
        backward += scores
    if stage == plan.mesh.pp - 1:
        logits = size.logit_operations(b)
        forward, backward, weight = forward + logits, backward + logits, weight + logits
    return forward / rate, backward / rate, weight / rate


def _tensor_s(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> tuple[float, float]:
    """Waiting of a stage for the all-reduces of one micro-batch: two a block in forward, two in backward."""
    mesh = plan.mesh
    if mesh.tp == 1:
        return 0.0, 0.0
    crosses = _crosses(mesh, "tp", machine)
    network = machine.network(crosses_nodes=crosses, num_senders=machine.devices_per_node)
    num_bytes = BYTES[plan.precision][0] * plan.micro_batch_size * size.length * size.width
    blocks = max(size.blocks_of_stage(stage, mesh.pp) for stage in range(mesh.pp))
    one = 2 * blocks * allreduce_s(num_bytes, mesh.tp, network)
    return one, 2 * one if plan.checkpointing == "full" else one


def _message_s(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> float:
    """A message from stage to stage: the activations of one micro-batch, each tensor-parallel rank its part of them."""
    crosses = _crosses(plan.mesh, "pp", machine)
    link = machine.link(crosses_nodes=crosses, num_senders=machine.devices_per_node)
    num_bytes = BYTES[plan.precision][0] * plan.micro_batch_size * size.length * size.width / plan.mesh.tp
    return link.message_s(num_bytes)


def _data_s(size: TransformerSize, plan: TrainingPlan, machine: Machine) -> float:
    """The all-reduce of gradients (with ZeRO: its halves, and the parameters)."""
    mesh = plan.mesh
    if mesh.dp == 1:
        return 0.0
    parameters = max(size.stage_parameters(stage, mesh.pp, mesh.tp) for stage in range(mesh.pp))
    num_bytes = int(parameters * BYTES[plan.precision][1] * zero_traffic(1.0, plan.zero_stage) / 2)
    local = min(mesh.dp, max(1, machine.devices_per_node // mesh.tp)) if mesh.order[-2:] == ("dp", "tp") else 1
    if not _crosses(mesh, "dp", machine):
        return allreduce_s(num_bytes, mesh.dp, machine.network(crosses_nodes=False))
    # A ring that visits node after node: one message of each ring crosses a node's ports at a time.
    rings = max(1, machine.devices_per_node // local)
    between = allreduce_s(num_bytes, mesh.dp, machine.network(crosses_nodes=True, num_senders=rings))
    inside = allreduce_s(num_bytes, mesh.dp, machine.network(crosses_nodes=False))
    return max(between, inside)


def _crosses(mesh: Mesh, axis: str, machine: Machine) -> bool:
    """Whether neighbours on an axis stand on different nodes: by the distance between them, without listing groups."""
    distance = 1
    for inner in reversed(mesh.order):
        if inner == axis:
            break
        distance *= getattr(mesh, inner)
    return distance * getattr(mesh, axis) > machine.devices_per_node
