"""A step of a pipeline as it was measured, in the form in which plans are simulated: to be laid over each other.

The times of the stages are means over the micro-batches of that step, so the simulation of the same plan with them says
what the schedule costs, and what is more was lost to messages, to waiting for a core, and to the executor.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.trace.timeline import Timeline
from labkit.training.pipeline.dependencies import numbered
from labkit.training.pipeline.memory import RankMemory
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.simulate import SimulatedPipeline, StageTimes, simulate
from labkit.training.pipeline.timeline import planned_timeline


@dataclass(frozen=True)
class MeasuredPipeline(SimulatedPipeline):
    """When each action of a plan ran. As a simulated one, with the times that were measured one by one."""

    @property
    def busy_s(self) -> tuple[float, ...]:
        return tuple(
            sum(end - start for start, end in zip(*of_rank, strict=True))
            for of_rank in zip(self.start_s, self.end_s, strict=True)
        )


@dataclass(frozen=True)
class PipelineRun:
    """The steps of a run, measured.

    Attributes
    ----------
    plan : Plan
    measured : MeasuredPipeline
        The step of median length (the later one of two); its times begin at 0.
    simulated : SimulatedPipeline
        The same plan with the measured times of the stages.
    steps_s : tuple of float
        Of all steps: from the first start of an action to the last end on any rank.
    memory : tuple of RankMemory
        By rank: bytes of activations after each action, in a step that was watched.
    losses : tuple of float
        Of all steps, where :func:`.on_ranks.run_on_ranks` has started the ranks.
    difference : float or None
        Between the final weights and those of one process, as a share of their norm; from there as well.
    """

    plan: Plan
    measured: MeasuredPipeline
    simulated: SimulatedPipeline
    steps_s: tuple[float, ...]
    memory: tuple[RankMemory, ...]
    losses: tuple[float, ...] = ()
    difference: float | None = None

    @property
    def overhead(self) -> float:
        """Measured step over simulated step."""
        return self.measured.step_s / self.simulated.step_s if self.simulated.step_s else 1.0

    def timeline(self) -> Timeline:
        """The measured step."""
        return planned_timeline(self.measured)

    def planned_timeline(self) -> Timeline:
        """The simulated one."""
        return planned_timeline(self.simulated)

    def __str__(self) -> str:
        lines = [
            f"{self.plan.name}: {self.plan.num_microbatches} micro-batches through {self.plan.num_stages} stages on "
            f"{self.plan.num_ranks} ranks",
            f"  step    {self.measured.step_s * 1e3:.3g} ms measured, {self.simulated.step_s * 1e3:.3g} ms simulated "
            f"with the measured times ({self.overhead:.2f} times)",
            f"  bubble  {100 * self.measured.bubble_fraction:.1f} % measured, "
            f"{100 * self.simulated.bubble_fraction:.1f} % "
            "simulated",
        ]
        peaks = ", ".join(f"{memory.peak / 1e6:.3g} MB" for memory in self.memory)
        return "\n".join([*lines, f"  activations at their peak, by rank: {peaks}"])


def collect_run(
    comm, plan: Plan, recorder, firsts: Sequence[int], memory: Sequence[tuple[int, int]] = ()
) -> PipelineRun | None:
    """What all ranks have recorded. Collective; None without a step.

    ``firsts`` says with which of the recorder's spans each step begins.
    """
    from labkit.training.collect import _clock_offset_ns

    offset, steps = _clock_offset_ns(comm), []
    for first, end in zip(firsts, [*firsts[1:], len(recorder.spans)], strict=False):
        steps.append({name: (a + offset, b + offset) for _, name, _, a, b, _ in recorder.spans[first:end]})
    everyone = comm.allgather((steps, [(time + offset, size) for time, size in memory]))
    if not firsts:
        return None
    return make_run(plan, [part[0] for part in everyone], [part[1] for part in everyone])


def make_run(
    plan: Plan, spans: Sequence[Sequence[dict[str, tuple[int, int]]]], memory: Sequence[Sequence[tuple[int, int]]] = ()
) -> PipelineRun:
    """Put the records of all ranks together.

    Parameters
    ----------
    plan : Plan
    spans : sequence of sequence of dict
        By rank and step: start and end, in ns on one clock, of each action by its text; and of the wait before an
        action under ``"wait for"`` and the text.
    memory : sequence of sequence of (int, int)
        By rank: times in ns and bytes.

    Examples
    --------
    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> rank_0 = {"0F0": (0, 1000), "0BW0": (4300, 6300)}
    >>> rank_1 = {"wait for 1F0": (0, 1100), "1F0": (1100, 2100), "1BW0": (2100, 4100)}
    >>> run = make_run(gpipe(2, 1), [[rank_0], [rank_1]])
    >>> run.measured.step_s, round(run.simulated.step_s, 9), round(run.simulated.times.communication_s, 9)
    (6.3e-06, 6.2e-06, 1e-07)
    """
    num_steps = len(spans[0])
    lengths = []
    for number in range(num_steps):
        times = [of_rank[number][str(a)] for of_rank, row in zip(spans, plan.actions, strict=True) for a in row]
        lengths.append((max(end for _, end in times) - min(start for start, _ in times)) / 1e9)
    usual = range(1, num_steps) if num_steps > 1 else range(1)  # in the first one layers allocate what they keep
    chosen = sorted(usual, key=lengths.__getitem__)[len(usual) // 2]
    step = [of_rank[chosen] for of_rank in spans]
    zero = min(row[str(a)][0] for row, actions in zip(step, plan.actions, strict=True) for a in actions)
    start, end = (
        tuple(
            tuple((row[str(a)][side] - zero) / 1e9 for a in actions)
            for row, actions in zip(step, plan.actions, strict=True)
        )
        for side in (0, 1)
    )
    times = _stage_times(plan, start, end, _communication_s(plan, step))
    return PipelineRun(
        plan, MeasuredPipeline(plan, times, start, end), simulate(plan, times), tuple(lengths),
        tuple(_rank_memory(rank, row) for rank, row in enumerate(memory)),
    )


def _stage_times(plan: Plan, start, end, communication_s: float) -> StageTimes:
    """Means over micro-batches. What BW takes counts as the time of B, and W as 0: their sum is what is known."""
    found = defaultdict(list)
    for actions, starts, ends in zip(plan.actions, start, end, strict=True):
        for action, first, last in zip(actions, starts, ends, strict=True):
            found[action.kind, action.stage, action.slice or 0].append(last - first)

    def table(*kinds: str) -> list[list[float]]:
        return [
            [statistics.fmean(sum((found[k, stage, part] for k in kinds), []) or [0.0]) for part in range(plan.num_slices)]
            for stage in range(plan.num_stages)
        ]

    has_both = any(kind == "BW" for kind, _, _ in found)
    has_parts = any(kind == "B" for kind, _, _ in found)
    backward = table("BW") if has_both and not has_parts else table("B")
    return StageTimes(table("F"), backward, table("W"), communication_s)


def _communication_s(plan: Plan, step: Sequence[dict[str, tuple[int, int]]]) -> float:
    """The median time from the end of an action to the moment when a rank that waited for it has its result."""
    actions, ranges, needed = numbered(plan)
    rank_of = [rank for rank, span in enumerate(ranges) for _ in span]
    found = []
    for number, action in enumerate(actions):
        wait = step[rank_of[number]].get(f"wait for {action}")
        for other in needed[number]:
            if rank_of[other] != rank_of[number] and wait is not None:
                made = step[rank_of[other]][str(actions[other])][1]
                if wait[0] <= made <= wait[1]:
                    found.append((wait[1] - made) / 1e9)
    return statistics.median(found) if found else 0.0


def _rank_memory(rank: int, rows: Sequence[tuple[int, int]]) -> RankMemory:
    """Times from 0."""
    if not rows:
        return RankMemory(rank, (0.0, 0.0), (0.0,))
    times = [(time - rows[0][0]) / 1e9 for time, _ in rows]
    return RankMemory(rank, (*times, times[-1]), tuple(float(size) for _, size in rows))
