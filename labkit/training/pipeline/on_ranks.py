"""A plan run on real ranks from a notebook's process: they are started for it, and end with it.

The model is a chain of equal layers, one run of them a stage, and the data are random: the question is the schedule.
With slices of tokens it is a small language model. Weights are compared with those that one process comes to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from labkit.training.pipeline.checks import whole_number
from labkit.training.pipeline.measured import MeasuredPipeline, PipelineRun
from labkit.training.pipeline.memory import RankMemory
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.simulate import StageTimes, simulate

MOST_RANKS = 16
PROGRAM = Path(__file__).with_name("on_ranks_program.py")


def run_on_ranks(
    plan: Plan, *, times: StageTimes | None = None, width: int = 384, samples: int = 64, num_steps: int = 6,
    checkpointing: bool = False, progress: Callable[[str], None] | None = None, deadline_s: float = 120.0,
) -> PipelineRun:
    """Start ``plan.num_ranks`` MPI ranks on this machine, train some steps by the plan, and say how they went.

    Parameters
    ----------
    plan : Plan
    times : StageTimes, optional
        Actions take at least so long, by sleeping, so any number of ranks can be watched on two cores; the model is
        a small one then. Without it, the stages compute, and ranks beyond the number of cores take turns on them.
    width : int
        Of the layers: a stage multiplies matrices of ``width`` x ``width``.
    samples : int
        Of a micro-batch.
    num_steps : int
    checkpointing : bool
        Stages are computed again before their backward.
    progress : callable, optional
        Called a few times a second with a text; what it raises ends the ranks and is raised here.
    deadline_s : float

    Returns
    -------
    PipelineRun
        ``.measured`` and ``.simulated`` (the same plan with the measured times of the stages) as
        :class:`.simulate.SimulatedPipeline`; ``.timeline()`` and ``.planned_timeline()`` to draw over each other;
        ``.memory``, ``.losses``, ``.difference``.

    Raises
    ------
    UsageError
        A plan that breaks a rule, or sizes that make no sense.
    NotAvailableError
        The ranks failed, or did not come to an end.
    """
    check_plan(plan)
    for name, value in (("width", width), ("samples", samples), ("num_steps", num_steps)):
        whole_number(name, value, 1)
    if plan.num_ranks > MOST_RANKS:
        raise UsageError(
            f"the plan has {plan.num_ranks} ranks, and run_on_ranks starts at most {MOST_RANKS} on one machine: "
            "simulate it, or make a plan for fewer."
        )
    table = None if times is None else times.table(plan.num_stages, plan.num_slices).tolist()
    options = {
        "plan": plan.text(), "times": table, "width": 16 if times is not None else width, "samples": samples,
        "num_steps": num_steps, "checkpointing": bool(checkpointing),
    }
    words = f"{plan.num_ranks} ranks run {plan.name}"
    look = None if progress is None else lambda: progress(f"{words} ...")
    output = run_mpi([str(PROGRAM), json.dumps(options)], plan.num_ranks, deadline_s, look)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise NotAvailableError(f"{words}: they ended without an answer; labkit doctor looks for the cause.")
    return from_json(plan, lines[-1])


def to_json(run: PipelineRun) -> str:
    """All of a run but its plan."""
    measured = run.measured
    return json.dumps({
        "start_s": measured.start_s, "end_s": measured.end_s,
        "times": [measured.times.forward_s, measured.times.backward_s, measured.times.weight_s],
        "communication_s": measured.times.communication_s, "steps_s": run.steps_s, "losses": run.losses,
        "memory": [[memory.times_s, memory.amounts] for memory in run.memory], "difference": run.difference,
    })


def from_json(plan: Plan, text: str) -> PipelineRun:
    """The run again."""
    values = json.loads(text)
    times = StageTimes(*values["times"], values["communication_s"])
    start, end = (tuple(tuple(row) for row in values[key]) for key in ("start_s", "end_s"))
    memory = tuple(RankMemory(rank, tuple(t), tuple(a)) for rank, (t, a) in enumerate(values["memory"]))
    run = PipelineRun(
        plan, MeasuredPipeline(plan, times, start, end), simulate(plan, times), tuple(values["steps_s"]), memory
    )
    return replace(run, losses=tuple(values["losses"]), difference=values["difference"])
