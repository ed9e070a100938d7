"""A simulated plan as a :class:`~labkit.trace.timeline.Timeline`, the form in which runs are measured."""

from __future__ import annotations

from labkit.trace.events import Message, Span
from labkit.trace.timeline import Timeline
from labkit.training.pipeline.dependencies import numbered
from labkit.training.pipeline.simulate import SimulatedPipeline

LANE = "pipeline"
NANOSECONDS = 1e9


def planned_timeline(run: SimulatedPipeline) -> Timeline:
    """The spans and messages of a simulated step, in ns from 0.

    Each action is a span of kind ``compute`` in the lane ``pipeline`` whose name is the action's text. A message goes
    from the end of the action that makes it to the moment it is there; its size is not known and 0, its tag the
    micro-batch.

    Examples
    --------
    >>> from labkit.training.pipeline.gpipe import gpipe
    >>> from labkit.training.pipeline.simulate import StageTimes, simulate
    >>> line = planned_timeline(simulate(gpipe(2, 1), StageTimes(2e-3, 3e-3, 1e-3)))
    >>> [(span.name, span.start_ns, span.end_ns) for span in line.spans]
    [('0F0', 0, 2000000), ('0BW0', 8000000, 12000000), ('1F0', 2000000, 4000000), ('1BW0', 4000000, 8000000)]
    """
    actions, ranges, needed = numbered(run.plan)
    rank_of = [rank for rank, span in enumerate(ranges) for _ in span]
    start = [_ns(one) for of_rank in run.start_s for one in of_rank]
    end = [_ns(one) for of_rank in run.end_s for one in of_rank]
    latency = _ns(run.times.communication_s)
    spans = tuple(
        Span(rank_of[n], LANE, str(action), "compute", start[n], end[n]) for n, action in enumerate(actions)
    )
    messages = [
        Message(
            rank_of[source], rank_of[n], action.microbatch, 0, "pipeline", end[source], end[source],
            end[source] + latency, end[source] + latency,
        )  # fmt: skip
        for n, action in enumerate(actions)
        for source in needed[n]
        if rank_of[source] != rank_of[n]
    ]
    messages.sort(key=lambda message: (message.send_start_ns, message.source, message.dest))
    return Timeline(
        num_ranks=run.plan.num_ranks, spans=spans, messages=tuple(messages),
        clock_offsets_ns=(0,) * run.plan.num_ranks, start_ns=0, end_ns=_ns(run.step_s),
    )  # fmt: skip


def _ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
