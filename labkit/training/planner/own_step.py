"""The time of a step of our own trainer, from what one process computes and what messages cost. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.simulate import SimulatedPipeline, StageTimes
from labkit.training.planner.on_cores import simulate_on_cores
from labkit.training.planner.own_costs import ComputeCosts, NetworkCosts

PARTS = ("compute_s", "bubble_s", "communication_s", "optimizer_s")


@dataclass(frozen=True)
class OwnStep:
    """Where the time of a step goes on the rank that computes longest, in s; forecast or measured.

    Attributes
    ----------
    compute_s : float
        Forward and backward, with waiting for a core where ranks share cores.
    bubble_s : float
        Waiting for other stages, and for whoever comes late.
    communication_s : float
        Collectives of layers, and those that end the step.
    optimizer_s : float
        The optimizer, and what else a step does: gradients set to 0, their norm, the batch.
    step_s : float
    pipeline : SimulatedPipeline or None
        The simulated run of the plan.
    """

    compute_s: float
    bubble_s: float
    communication_s: float
    optimizer_s: float
    step_s: float
    pipeline: SimulatedPipeline | None = None

    def parts(self) -> dict[str, float]:
        """By name, without ``_s``; their sum is the step."""
        return {name[:-2]: getattr(self, name) for name in PARTS}


def predict_step(plan: Plan, mesh: Mesh, compute: ComputeCosts, network: NetworkCosts, num_cores: int) -> OwnStep:
    """A step of a plan on a mesh of ranks that share so many cores.

    Parameters
    ----------
    plan : Plan
        Of ``mesh.pp`` ranks; one stage and GPipe where there is no pipeline.
    mesh : Mesh
    compute : ComputeCosts
    network : NetworkCosts
    num_cores : int

    Notes
    -----
    Replicas and parts of layers do the same at the same time, so one pipeline is simulated, with its share of the cores. A
    collective was measured with all ranks on these cores, so it is not stretched a second time.

    Examples
    --------
    Two replicas with a core each: computing, the sum of gradients, the agreement, the optimizer.

    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> calls = [("dp", "allreduce", 4000)]
    >>> compute = ComputeCosts((0.01,), (0.02,), (0.0,), (0.001,), (0.0,), (0.002,), (4000,), step_calls=calls)
    >>> network = NetworkCosts({"dp allreduce": [(4000, 0.003)]})
    >>> step = predict_step(gpipe(1, 1), Mesh(dp=2), compute, network, num_cores=2)
    >>> round(step.step_s, 6), {name: round(s, 6) for name, s in step.parts().items()}
    (0.036, {'compute': 0.03, 'bubble': 0.0, 'communication': 0.003, 'optimizer': 0.003})
    >>> round(predict_step(gpipe(1, 1), Mesh(dp=2), compute, network, num_cores=1).step_s, 6)
    0.069
    """
    if plan.num_ranks != mesh.pp or plan.num_stages != len(compute.forward_s):
        raise UsageError(
            f"the plan has {plan.num_ranks} ranks and {plan.num_stages} stages, but pp is {mesh.pp} and costs are known of "
            f"{len(compute.forward_s)} stages: measure the costs of this plan."
        )
    stretch = max(1.0, mesh.size / num_cores)
    calls = [
        [sum(network.seconds(*call) for call in of_stage) for of_stage in rows]
        for rows in (compute.forward_calls, compute.backward_calls, compute.weight_calls)
    ]
    lone = [compute.forward_s, compute.backward_s, compute.weight_s]
    gap = compute.gap_s
    whole = [
        [t + c / stretch + (gap if kind != 2 or t else 0.0) for t, c in zip(times, extra, strict=True)]
        for kind, (times, extra) in enumerate(zip(lone, calls, strict=True))
    ]
    message = max((network.seconds("pp", "message", n) for n in compute.boundary_bytes), default=0.0) if mesh.pp > 1 else 0.0
    run = simulate_on_cores(
        plan, StageTimes(*whole, message), num_cores / (mesh.dp * mesh.tp),
        waiting_share=network.waiting_share, ended_share=network.ended_share,
    )
    stages = [plan.stages_of(rank) for rank in range(plan.num_ranks)]
    rank = int(np.argmax(run.busy_s))
    busy = sum(end - start for start, end in zip(run.start_s[rank], run.end_s[rank], strict=True))
    inner = plan.num_microbatches * sum(calls[kind][s] for s in stages[rank] for kind in range(3))
    own = max(
        sum(compute.zero_s[s] + compute.norm_s[s] + compute.optimizer_s[s] for s in part) for part in stages
    )
    optimizer = stretch * (compute.edge_s + own)
    total = sum(compute.gradient_bytes)
    share = max(sum(compute.gradient_bytes[s] for s in part) for part in stages) / total if total else 1.0
    after = sum(
        network.seconds(axis, kind, size * share if axis == "dp" and size > total / 2 else size)
        for axis, kind, size in compute.step_calls
    )
    if compute.tied_bytes and mesh.pp > 1:
        after += network.seconds("pp", "message", compute.tied_bytes)
    if stretch > 1 and mesh.pp == 1:  # all compute to the end, and the operating system shares in slices of ms
        after += network.late_s
    inner = min(inner, busy)
    return OwnStep(
        busy - inner, run.step_s - busy, inner + after, optimizer, run.step_s + after + optimizer, run
    )
