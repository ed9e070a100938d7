"""What a rank sends in a step along each axis of the mesh: why tensor parallelism stays inside a node."""

from __future__ import annotations

from labkit.training.planner.plan import BYTES, TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.scale.zero_table import zero_traffic


def axis_traffic(size: TransformerSize, plan: TrainingPlan) -> dict[str, float]:
    """Bytes that a rank of a stage in the middle sends in a step, by axis.

    ``tp``: two all-reduces a block and micro-batch in forward, two in backward, and two more in the second forward of full
    checkpointing, each ``2 (t - 1) / t`` times the activations. ``pp``: activations to the next stage and gradients to the
    one before, in ``t`` parts. ``dp``: the gradients once, ``2 (d - 1) / d`` times; half as much again with ZeRO stage 3.

    Parameters
    ----------
    size : TransformerSize
    plan : TrainingPlan

    Examples
    --------
    >>> from labkit.training.mesh import Mesh
    >>> size = TransformerSize(48, 8192, 64)
    >>> plan = TrainingPlan(Mesh(dp=4, pp=2, tp=8), 64)
    >>> {axis: f"{num_bytes / 1e9:.1f} GB" for axis, num_bytes in axis_traffic(size, plan).items()}
    {'dp': '7.5 GB', 'pp': '0.1 GB', 'tp': '90.2 GB'}
    """
    plan.check(size)
    mesh, item = plan.mesh, BYTES[plan.precision][0]
    activations = item * plan.micro_batch_size * size.length * size.width
    blocks = size.num_blocks / mesh.pp
    all_reduces = 6 if plan.checkpointing == "full" else 4
    parameters = max(size.stage_parameters(stage, mesh.pp, mesh.tp) for stage in {0, mesh.pp - 1})
    neighbours = min(2, mesh.pp - 1)  # forward to one, backward to the other; of two stages each sends one way
    return {
        "dp": parameters * BYTES[plan.precision][1] * zero_traffic(1.0, plan.zero_stage) * (mesh.dp - 1) / mesh.dp,
        "pp": plan.num_microbatches * plan.num_chunks * neighbours * activations / mesh.tp,
        "tp": plan.num_microbatches * blocks * all_reduces * 2 * (mesh.tp - 1) / mesh.tp * activations,
    }
