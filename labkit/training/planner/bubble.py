"""How long the pipeline of a plan takes: by simulating its schedule, and by the formulas of the textbooks.

The simulation knows what formulas leave out: stages that are not equally long, messages of which only some are waited
for, too few micro-batches for a zero-bubble schedule. It looks at every action, so plans with very many of them take
the formulas. For equal stages and free messages both give the same.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.planner.plan import TrainingPlan

MOST_ACTIONS = 600  # of a plan that is simulated: about 1 ms, and a search has hundreds of plans
KEPT_PLANS = 64


@dataclass(frozen=True, slots=True)
class PipelineTime:
    """What a step's pipeline takes beyond the work of its busiest rank, in s.

    Attributes
    ----------
    bubble_s : float
        Waiting for the pipeline to fill and empty, with free messages.
    message_s : float
        What messages add.
    is_simulated : bool
    """

    bubble_s: float
    message_s: float
    is_simulated: bool


def num_actions(plan: TrainingPlan) -> int:
    """Of the plan's schedule: forward and backward of each micro-batch on each stage, with zero bubble weights as well.

    Examples
    --------
    >>> from labkit.training.mesh import Mesh
    >>> num_actions(TrainingPlan(Mesh(pp=4), batch_size=16)), num_actions(TrainingPlan(Mesh(pp=4), 16, schedule="zb-h1"))
    (128, 192)
    """
    kinds = 3 if plan.schedule.startswith("zb-") else 2
    return kinds * plan.mesh.pp * plan.num_chunks * plan.num_microbatches


def pipeline_time(plan: TrainingPlan, stages: list[tuple[float, float, float]], message_s: float) -> PipelineTime:
    """By simulation where the plan is small enough, by formulas else.

    Parameters
    ----------
    plan : TrainingPlan
    stages : list of (float, float, float)
        By rank of the pipeline: forward, backward of the inputs, gradients of the weights, of one micro-batch, in s. A
        rank with several chunks of the model spends an equal part of it on each.
    message_s : float
        Of the activations of one micro-batch, from one rank to the next.

    Examples
    --------
    >>> from labkit.training.mesh import Mesh
    >>> plan = TrainingPlan(Mesh(pp=4), batch_size=8)
    >>> pipeline_time(plan, [(1.0, 1.0, 1.0)] * 4, 0.0)
    PipelineTime(bubble_s=9.0, message_s=0.0, is_simulated=True)
    >>> pipeline_time(plan, [(1.0, 1.0, 1.0)] * 3 + [(2.0, 2.0, 2.0)], 0.0).bubble_s  # the slowest idles less
    9.0
    """
    if plan.mesh.pp == 1:
        return PipelineTime(0.0, 0.0, False)
    if num_actions(plan) > MOST_ACTIONS:
        return PipelineTime(formula_bubble_s(plan, max(stages, key=sum)), formula_message_s(plan, message_s), False)
    actions = _plan(plan.schedule, plan.mesh.pp, plan.num_microbatches, plan.num_chunks)
    parts = [tuple(t / plan.num_chunks for t in stages[s % plan.mesh.pp]) for s in range(actions.num_stages)]
    times = StageTimes(*zip(*parts, strict=True))
    free = simulate(actions, times).cost_s  # of the busiest rank, as in the Zero Bubble paper: steps follow closely
    slow = simulate(actions, replace(times, communication_s=message_s)).cost_s if message_s else free
    work = plan.num_microbatches * max(map(sum, stages))
    return PipelineTime(max(0.0, free - work), max(0.0, slow - free), True)


@functools.lru_cache(maxsize=KEPT_PLANS)
def _plan(schedule: str, num_ranks: int, num_microbatches: int, num_chunks: int):
    return make_plan(schedule, num_ranks, num_microbatches, num_chunks=num_chunks)


def formula_bubble_s(plan: TrainingPlan, slowest: tuple[float, float, float]) -> float:
    """(p - 1) times what a stage idles for each stage beside it: F + B + W over the chunks; F + B - W; F + B - 2 W."""
    forward, backward, weight = slowest
    if plan.schedule == "zb-h1":
        idle = max(0.0, forward + backward - weight)
    elif plan.schedule == "zb-h2":
        idle = max(0.0, forward + backward - 2 * weight)
    else:
        idle = (forward + backward + weight) / plan.num_chunks
    return (plan.mesh.pp - 1) * idle


def formula_message_s(plan: TrainingPlan, message_s: float) -> float:
    """Messages to fill and to empty the pipeline, and with 1F1B and ZB-H1 one a turn of the steady state."""
    turns = plan.num_microbatches if plan.schedule in ("1f1b", "zb-h1") else 0
    return (2 * (plan.mesh.pp * plan.num_chunks - 1) + turns) * message_s if plan.mesh.pp > 1 else 0.0
